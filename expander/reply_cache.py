"""The reply cache: replies of language models, kept because they are expensive to generate.

One SQLite file. The key is a digest of everything that a reply depends on: model, prompt,
generation settings and scope. The prompt contains the note and the strategy's prompt template;
settings that only affect how a reply is parsed are not in the key, so that changing them does not
call the model again.

Every reply is stored with its own checksum, and the file's structure is checked when it is
opened: a damaged file is refused. Replies may contain patient text; prompts are not stored, and
only the owner can read the file.
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

_APPLICATION_ID = 0x50645843  # "PdXC"
_VERSION = 1
_KEY_BYTES = 32
_CHECKSUM_BYTES = 16
_SQLITE_HEADER = b"SQLite format 3\0"
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_COMPANION_SUFFIXES = ("-journal", "-wal", "-shm")
_CLEAR_HINT = "remove the cached replies: expand --clear"

_TABLE = "CREATE TABLE replies (key BLOB PRIMARY KEY, reply BLOB NOT NULL, sum BLOB NOT NULL)"


def reply_key(
    digest: str, prompt: str | Prompt, settings: GenerationSettings, scope: str = ""
) -> bytes:
    """The cache key of a reply; `scope` names anything else that may change the reply."""
    # Where the note begins and ends matters: a note that does not fit is shortened.
    prompt_parts = prompt if isinstance(prompt, str) else [prompt.before, prompt.note, prompt.after]
    parts = json.dumps([digest, prompt_parts, asdict(settings), scope], sort_keys=True)
    return blake2b(parts.encode("ascii"), digest_size=_KEY_BYTES).digest()


class ReplyCache:
    """An open cache. Several processes may use one file; each `store` is one transaction.

    Raises CacheError if the file is damaged, is not a reply cache, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with self._as_cache_errors():
            self._connection = connect_private(self.path)
        try:
            with self._as_cache_errors():
                self._prepare()
                _restrict_to_owner(self.path)
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
        with self._as_cache_errors():
            return int(self._connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def find(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The cached replies, by key. Raises CacheError if one of them is damaged."""
        replies: dict[bytes, str] = {}
        with self._as_cache_errors():
            for key, reply, checksum in rows_of(self._connection, "replies", keys):
                if not isinstance(reply, bytes) or _checksum(key, reply) != checksum:
                    raise self._damaged_error()
                replies[key] = reply.decode("utf-8")
        return replies

    def store(self, replies: Mapping[bytes, str]) -> None:
        """Stores replies, all or none, and returns once they are on disk."""
        rows = [(key, text.encode("utf-8", "replace")) for key, text in replies.items()]
        with self._as_cache_errors(), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?)",
                [(key, reply, _checksum(key, reply)) for key, reply in rows],
            )

    def _prepare(self) -> None:
        """Checks the file, or creates the table in an empty one."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if connection.execute("PRAGMA application_id").fetchone()[0]:
                    raise self._damaged_error()
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                return
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise CacheError(f"{self.path}: this is not a reply cache", hint="choose another file")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise CacheError(f"{self.path}: the reply cache has another version", hint=_CLEAR_HINT)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self._damaged_error()

    def _damaged_error(self) -> CacheError:
        return CacheError(f"{self.path}: the reply cache is damaged", hint=_CLEAR_HINT)

    @contextmanager
    def _as_cache_errors(self) -> Iterator[None]:
        """Turns errors of SQLite and of the operating system into CacheError."""
        try:
            yield
        except UnicodeDecodeError as error:  # from SQLite's own message about a damaged table
            raise self._damaged_error() from error
        except (sqlite3.Error, OSError) as error:
            reason = _system_reason(error)
            if reason is None:
                raise self._damaged_error() from error
            raise CacheError(
                f"{self.path}: the reply cache cannot be used: {reason}",
                hint="choose another location, or run without a cache: --no-cache",
            ) from error


def clear_cache(path: Path | str) -> bool:
    """Removes a cache, damaged or not. Returns whether there was one.

    Raises CacheError if it cannot be removed or does not look like a cache.
    """
    target = Path(path)
    try:
        existed = target.exists()
        if existed and not _looks_like_cache(target):
            hint = "remove it by hand if you no longer need it"
            raise CacheError(f"{target}: this is not a reply cache", hint=hint)
        for name in (target.name, *(target.name + end for end in _COMPANION_SUFFIXES)):
            target.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        problem = f"{target}: the reply cache cannot be removed: {error.strerror}"
        raise CacheError(problem, hint="check its permissions") from error
    return existed


def _looks_like_cache(path: Path) -> bool:
    """Judges by the name or by SQLite's header: a damaged cache may have lost either."""
    with path.open("rb") as stream:
        return path.suffix in _SUFFIXES or stream.read(len(_SQLITE_HEADER)) in {b"", _SQLITE_HEADER}


def _restrict_to_owner(path: Path) -> None:
    """Removes the permissions of others. SQLite gives its journal the mode of the file."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def _checksum(key: bytes, reply: bytes) -> bytes:
    return blake2b(key + reply, digest_size=_CHECKSUM_BYTES).digest()


def _system_reason(error: sqlite3.Error | OSError) -> str | None:
    """Why the system refused access; None if the content of the file is at fault."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    is_external = isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR"
    return name if is_external else None
