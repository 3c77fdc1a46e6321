"""Replies of language models, kept: they are paid work.

One SQLite file. The key is a digest of all that a reply depends on: model, prompt, generation
settings and scope. A strategy's wording and the note are in the prompt; settings that only tell
how to read a reply are not in the key, so that changing them asks the model for nothing.

Every reply stands beside its own checksum, and the file's structure is checked when it is
opened: a damaged file is refused. Replies may hold patient text; prompts are not stored, and the
file is readable by its owner alone.
"""

import json
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

from patientdx.errors import CacheError
from patientdx.protocols import GenerationSettings, Prompt
from patientdx.storage.private_rows import connect_private, rows_of, transaction

_APPLICATION = 0x50645843  # "PdXC"
_VERSION = 1
_KEY_BYTES = 32
_CHECK_BYTES = 16
_MAGIC = b"SQLite format 3\0"
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_BESIDE = ("-journal", "-wal", "-shm")
_HINT = "remove the cached replies: expand --clear"

_TABLE = "CREATE TABLE replies (key BLOB PRIMARY KEY, reply BLOB NOT NULL, sum BLOB NOT NULL)"


def reply_key(
    digest: str, prompt: str | Prompt, settings: GenerationSettings, scope: str = ""
) -> bytes:
    """The key of a reply; `scope` tells apart what else may change it."""
    # Which part of a prompt is the note matters where the note has to be cut.
    asked = prompt if isinstance(prompt, str) else [prompt.before, prompt.note, prompt.after]
    parts = json.dumps([digest, asked, asdict(settings), scope], sort_keys=True)
    return blake2b(parts.encode("ascii"), digest_size=_KEY_BYTES).digest()


class ReplyCache:
    """An open cache. Several processes may use one file; each `store` is one transaction.

    Raises CacheError where the file is damaged, is no cache, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with self._explained():
            self._connection = connect_private(self.path)
        try:
            with self._explained():
                self._prepare()
                _tighten(self.path)
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
            return int(self._connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def find(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The replies that are there, by key. Raises CacheError for one that was damaged."""
        found: dict[bytes, str] = {}
        with self._explained():
            for key, reply, checksum in rows_of(self._connection, "replies", keys):
                if not isinstance(reply, bytes) or _checksum(key, reply) != checksum:
                    raise self._damaged()
                found[key] = reply.decode("utf-8")
        return found

    def store(self, replies: Mapping[bytes, str]) -> None:
        """Adds replies, all or none, and returns when they are on the disk."""
        rows = [(key, text.encode("utf-8", "replace")) for key, text in replies.items()]
        with self._explained(), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?)",
                [(key, reply, _checksum(key, reply)) for key, reply in rows],
            )

    def _prepare(self) -> None:
        """Checks the file, or makes the table where there is nothing yet."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if connection.execute("PRAGMA application_id").fetchone()[0]:
                    raise self._damaged()
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                return
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise CacheError(f"{self.path}: this is no cache of replies", hint="name another file")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise CacheError(f"{self.path}: the cache is of another version", hint=_HINT)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self._damaged()

    def _damaged(self) -> CacheError:
        return CacheError(f"{self.path}: the cache of replies is damaged", hint=_HINT)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite and the system say into a sentence."""
        try:
            yield
        except UnicodeDecodeError as error:  # in SQLite's own words about a damaged table
            raise self._damaged() from error
        except (sqlite3.Error, OSError) as error:
            reason = _reason(error)
            if reason is None:
                raise self._damaged() from error
            raise CacheError(
                f"{self.path}: the cache of replies cannot be used: {reason}",
                hint="choose another place, or go without: --no-cache",
            ) from error


def clear_cache(path: Path | str) -> bool:
    """Removes a cache, damaged or not, and says whether there was one.

    Raises CacheError where it may not, and for a file that does not look like a cache.
    """
    target = Path(path)
    try:
        existed = target.exists()
        if existed and not _looks_like_one(target):
            hint = "remove it by hand if it is to go"
            raise CacheError(f"{target}: this is no cache of replies", hint=hint)
        for name in (target.name, *(target.name + end for end in _BESIDE)):
            target.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        problem = f"{target}: the cache of replies cannot be removed: {error.strerror}"
        raise CacheError(problem, hint="check its permissions") from error
    return existed


def _looks_like_one(path: Path) -> bool:
    """By its name, or by SQLite's first bytes: a damaged cache may have lost either."""
    with path.open("rb") as stream:
        return path.suffix in _SUFFIXES or stream.read(len(_MAGIC)) in {b"", _MAGIC}


def _tighten(path: Path) -> None:
    """Takes the file from others. SQLite gives its journal the mode of the file."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def _checksum(key: bytes, reply: bytes) -> bytes:
    return blake2b(key + reply, digest_size=_CHECK_BYTES).digest()


def _reason(error: sqlite3.Error | OSError) -> str | None:
    """Why the system refuses; None where the content of the file is to blame."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    is_outside = isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR"
    return name if is_outside else None
