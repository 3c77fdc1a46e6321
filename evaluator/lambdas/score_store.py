"""Scores of candidates, kept on disk as they come: nothing is paid for twice.

A file of SQLite, readable by its owner alone. Keys are digests of model, candidate and record;
beside them stand two numbers. Neither records nor ids are in it.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from patientdx.errors import CacheError

_APPLICATION = 0x5064584C  # "PdXL"
_VERSION = 1
_WAIT = 60.0  # seconds for another process to finish its commit
_AT_ONCE = 500  # SQLite allows 999 parameters a statement, or more
_TABLE = (
    "CREATE TABLE scores (key BLOB PRIMARY KEY, score REAL, answer REAL, sum BLOB NOT NULL)"
    " WITHOUT ROWID"
)


class Score(NamedTuple):
    """A score, nan where the model gave none, and an answer where one was asked for."""

    score: float
    answer: float | None


def score_key(digest: str, candidate: str, instance: str) -> bytes:
    """The key of a score: `digest` is of inputs, method and question, `candidate` of its values."""
    parts = json.dumps([digest, candidate, instance])
    return blake2b(parts.encode("utf-8"), digest_size=24).digest()


class ScoreStore:
    """An open file of scores; each `store` is one transaction, on the disk when it returns.

    Raises CacheError where the file is damaged, is none of these, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.path.chmod(0o600)  # SQLite gives its journal the mode of the file
            self._connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        try:
            with self._explained():
                self._prepare()
        except CacheError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM scores").fetchone()[0])

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """The scores that are there, by key. Raises CacheError for one that was damaged."""
        found: dict[bytes, Score] = {}
        with self._explained():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                # The marks are question marks: nothing of the caller is in the statement.
                query = f"SELECT * FROM scores WHERE key IN ({marks})"  # noqa: S608
                for key, score, answer, checksum in self._connection.execute(query, some):
                    if _checksum(key, score, answer) != checksum:
                        raise self._damaged()
                    found[key] = Score(float("nan") if score is None else score, answer)
        return found

    def store(self, scores: Mapping[bytes, Score]) -> None:
        """Adds scores, all or none."""
        rows = [
            (key, None if one.score != one.score else one.score, one.answer)
            for key, one in scores.items()
        ]
        with self._explained(), self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)",
                [(*row, _checksum(*row)) for row in rows],
            )

    def _prepare(self) -> None:
        """Checks the file, or makes the table where there is nothing yet."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                return
        told = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if told != [_APPLICATION, _VERSION]:
            raise CacheError(f"{self.path}: this is no file of scores", hint="name another file")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self._damaged()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One that takes the write lock at once: it waits there, and never fails half-way."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite and the system say into a sentence."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CacheError(
                f"{self.path}: scores cannot be kept: {reason}", hint="choose another place"
            ) from error
        except (sqlite3.Error, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorname", "") in {"SQLITE_BUSY", "SQLITE_FULL"}:
                hint = "another process writes to it, or the disk is full"
                raise CacheError(f"{self.path}: scores cannot be kept", hint=hint) from error
            raise self._damaged() from error

    def _damaged(self) -> CacheError:
        hint = "remove the file: its scores are computed again"
        return CacheError(f"{self.path}: the file of scores is damaged", hint=hint)


def _checksum(key: bytes, score: float | None, answer: float | None) -> bytes:
    return blake2b(key + repr((score, answer)).encode(), digest_size=8).digest()
