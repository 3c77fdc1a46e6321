"""Answers of models about stays, kept on disk as they come, so that a killed run goes on.

A file of SQLite, readable by its owner alone. It holds keys, numbers and a reply of a few tokens:
neither records nor ids.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from patientdx.errors import CacheError

_APPLICATION = 0x50645841  # "PdXA"
_VERSION = 1
_WAIT = 60.0  # seconds for another process to finish its commit
_AT_ONCE = 500  # SQLite allows 999 parameters a statement, or more
_TABLE = "CREATE TABLE answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"


class Answer(NamedTuple):
    """What a model made of a stay.

    `died` and `lived` are the natural-log probabilities that its reply begins with a form of
    either label, `reply` is what it wrote, `tokens` how many of the prompt it read, `cut`
    whether the record was cut for the context.
    """

    died: float
    lived: float
    reply: str
    tokens: int
    cut: bool


class AnswerStore:
    """An open file of answers; each `store` is one transaction.

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
        self._connection.close()

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that are there, by key."""
        found: dict[bytes, Answer] = {}
        with self._explained():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                # The marks are question marks: nothing of the caller is in the statement.
                query = f"SELECT key, answer FROM answers WHERE key IN ({marks})"  # noqa: S608
                for key, value in self._connection.execute(query, some):
                    found[key] = Answer(*json.loads(value))
        return found

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        """Adds answers, all or none, and returns when they are on the disk."""
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with self._explained(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

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
            raise CacheError(f"{self.path}: this is no file of answers", hint="name another file")
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
                f"{self.path}: answers cannot be kept: {reason}", hint="choose another place"
            ) from error
        except (sqlite3.Error, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorname", "") in {"SQLITE_BUSY", "SQLITE_FULL"}:
                hint = "another process writes to it, or the disk is full"
                raise CacheError(f"{self.path}: answers cannot be kept", hint=hint) from error
            raise self._damaged() from error

    def _damaged(self) -> CacheError:
        hint = "remove the file: its answers are asked for again"
        return CacheError(f"{self.path}: the file of answers is damaged", hint=hint)
