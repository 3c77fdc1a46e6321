"""Private files of rows by key, which survive killed processes: SQLite, readable by the owner only.

Each write is a transaction, on disk when it returns. Several processes may use the same file.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from patientdx.errors import CacheError

_WAIT = 60.0  # seconds to wait for another process to finish its commit
_KEYS_PER_QUERY = 500  # SQLite allows at least 999 parameters per statement


class Message(NamedTuple):
    """What an error says about a file, and the hint."""

    text: str
    hint: str


@dataclass(frozen=True)
class StoreFormat:
    """The table and the identity of a kind of file, and what to say where a file is not usable.

    `schema` is the CREATE TABLE statement of `table`, whose first column is `key BLOB`.
    `application_id` and `version` are stored in the file. The messages are about a file of
    another kind, of another version, with damaged content, and one that the system refuses.
    """

    table: str
    schema: str
    application_id: int
    version: int
    foreign: Message
    other_version: Message
    damaged: Message
    unusable: Message


class RowStore:
    """An open file of rows, each under a key of bytes.

    Raises CacheError if the file is damaged, of another kind, or cannot be used.
    """

    def __init__(self, path: Path | str, form: StoreFormat) -> None:
        self.path = Path(path)
        self._form = form
        with self.cache_errors():
            self._connection = _connect(self.path)
        try:
            with self.cache_errors():
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
        with self.cache_errors():
            query = f"SELECT count(*) FROM {self._form.table}"  # noqa: S608 - a constant
            return int(self._connection.execute(query).fetchone()[0])

    def read_rows(self, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        """The rows of those keys that are stored, with the key first.

        To be read inside `cache_errors`.
        """
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            chunk = keys[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(chunk))
            # Only the table's name and question marks are formatted into the statement.
            query = f"SELECT * FROM {self._form.table} WHERE key IN ({marks})"  # noqa: S608
            yield from self._connection.execute(query, chunk)

    def write_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Stores rows, all or none, and returns once they are on disk. A key is overwritten."""
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self.cache_errors(), _transaction(self._connection):
            self._connection.executemany(
                f"INSERT OR REPLACE INTO {self._form.table} VALUES ({marks})",  # noqa: S608
                rows,
            )

    @contextmanager
    def cache_errors(self) -> Iterator[None]:
        """Turns errors of SQLite, of the system and of reading a row into CacheError."""
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            reason = _system_reason(error)
            if reason is None:
                raise self.damage_error() from error
            text, hint = self._form.unusable
            raise CacheError(f"{self.path}: {text}: {reason}", hint=hint) from error

    def damage_error(self) -> CacheError:
        """The error to raise for content that was not written like this."""
        return self._error(self._form.damaged)

    def _error(self, message: Message) -> CacheError:
        return CacheError(f"{self.path}: {message.text}", hint=message.hint)

    def _prepare(self) -> None:
        """Checks the file, or creates the table in an empty one."""
        connection, form = self._connection, self._form
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if connection.execute("PRAGMA application_id").fetchone()[0]:
                    raise self.damage_error()
                connection.execute(form.schema)
                connection.execute(f"PRAGMA application_id = {form.application_id}")
                connection.execute(f"PRAGMA user_version = {form.version}")
                return
        if connection.execute("PRAGMA application_id").fetchone()[0] != form.application_id:
            raise self._error(form.foreign)
        if connection.execute("PRAGMA user_version").fetchone()[0] != form.version:
            raise self._error(form.other_version)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self.damage_error()


def _connect(path: Path) -> sqlite3.Connection:
    """Opens a file, with mode 0600 if it is new; missing folders above it get mode 0700."""
    for folder in reversed(path.parents):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return sqlite3.connect(path, timeout=_WAIT, isolation_level=None)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that takes the write lock first: it may wait there, but not fail later."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _restrict_to_owner(path: Path) -> None:
    """Removes the permissions of others. SQLite gives its journal the mode of the file."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def _system_reason(error: Exception) -> str | None:
    """Why the system refused access; None if the content of the file is at fault."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    is_external = isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR"
    return name if is_external else None
