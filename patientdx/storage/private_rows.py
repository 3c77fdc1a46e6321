"""What private files of rows by key share: SQLite's, readable by their owner alone."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_WAIT = 60.0  # seconds for another process to finish its commit
_AT_ONCE = 500  # SQLite allows 999 parameters a statement, or more


def connect_private(path: Path) -> sqlite3.Connection:
    """A connection to a file of mode 0600 if it is new; missing folders above it get mode 0700.

    Raises OSError and sqlite3.Error.
    """
    for folder in reversed(path.parents):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return sqlite3.connect(path, timeout=_WAIT, isolation_level=None)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One that takes the write lock at once: it waits there, and never fails half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def rows_of(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a table that are there, whole, by their column `key`."""
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        # The marks are question marks: nothing of the caller but the table is in the statement.
        query = f"SELECT * FROM {table} WHERE key IN ({marks})"  # noqa: S608
        yield from connection.execute(query, some)
