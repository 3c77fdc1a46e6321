"""A private file of rows by key, written as they come, so that a killed run goes on.

A file of SQLite with one table, readable by its owner alone; each `add` is one transaction.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from patientdx.errors import CacheError

from .private_rows import connect_private, rows_of, transaction


class RowFormat(NamedTuple):
    """What a file holds: `table` with these `columns` after the key, `holds` in a message.

    `application` and `version` are written into the file; `again` says what becomes of rows
    that are lost.
    """

    table: str
    columns: str
    application: int
    version: int
    holds: str
    again: str


class KeptRows:
    """An open file of rows, each under a key of bytes.

    Raises CacheError where the file is damaged, is none of these, or cannot be used.
    """

    def __init__(self, path: Path | str, form: RowFormat) -> None:
        self.path = Path(path)
        self._form = form
        with self.explained():
            self._connection = connect_private(self.path)
            self.path.chmod(0o600)  # SQLite gives its journal the mode of the file
        try:
            with self.explained():
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
        with self.explained():
            query = f"SELECT count(*) FROM {self._form.table}"  # noqa: S608 - a name of ours
            return int(self._connection.execute(query).fetchone()[0])

    def rows(self, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        """The rows that are there, the key first."""
        yield from rows_of(self._connection, self._form.table, keys)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows, all or none, and returns when they are on the disk."""
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self.explained(), transaction(self._connection):
            self._connection.executemany(
                f"INSERT OR REPLACE INTO {self._form.table} VALUES ({marks})",  # noqa: S608
                rows,
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what SQLite and the system say into a sentence."""
        kept = f"{self.path}: {self._form.holds} cannot be kept"
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CacheError(f"{kept}: {reason}", hint="choose another place") from error
        except (sqlite3.Error, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorname", "") in {"SQLITE_BUSY", "SQLITE_FULL"}:
                hint = "another process writes to it, or the disk is full"
                raise CacheError(kept, hint=hint) from error
            raise self.damaged() from error

    def damaged(self) -> CacheError:
        """What to raise where the file is not as it was written."""
        form = self._form
        return CacheError(
            f"{self.path}: the file of {form.holds} is damaged",
            hint=f"remove the file: its {form.holds} are {form.again} again",
        )

    def _prepare(self) -> None:
        """Checks the file, or makes the table where there is nothing yet."""
        connection, form = self._connection, self._form
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.execute(
                    f"CREATE TABLE {form.table} (key BLOB PRIMARY KEY, {form.columns})"
                    " WITHOUT ROWID"
                )
                connection.execute(f"PRAGMA application_id = {form.application}")
                connection.execute(f"PRAGMA user_version = {form.version}")
                return
        told = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if told != [form.application, form.version]:
            raise CacheError(
                f"{self.path}: this is no file of {form.holds}", hint="name another file"
            )
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self.damaged()
