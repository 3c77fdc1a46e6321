"""DuckDB as it is used here: bounded memory, a private spill folder that is removed, no talk.

DuckDB's messages may quote a row, so none of them is shown.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patientdx.capabilities import require
from patientdx.errors import InputError, PatientDxError, UsageError

from .settings import Work
from .spilling import spill_folder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_LINE = re.compile(r"CSV Error on Line: ([0-9]+)")


class Engine:
    """A database of its own, and the scripts of the folder `sql` to run in it."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self.connection = connection

    def define(self, **values: Any) -> None:
        """Sets variables, which scripts read by `getvariable`."""
        for name, value in values.items():
            self.connection.execute(f"SET VARIABLE {name} = ?", [value])

    def run(self, script: str, about: object = "the tables") -> None:
        """Runs `sql/SCRIPT.sql`; `about` is the file that an error is about."""
        text = files(__package__).joinpath("sql", f"{script}.sql").read_text(encoding="utf-8")
        with refusals(about):
            self.connection.execute(text)

    def rows(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The answer to a query."""
        with refusals("the tables"):
            rows: list[tuple[Any, ...]] = self.connection.execute(query, values).fetchall()
        return rows

    def arrow(self, query: str, values: Any = None) -> "pa.Table":
        """The answer to a query, as Arrow."""
        with refusals("the tables"):
            return self.connection.sql(query, params=values).to_arrow_table()

    def fill(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows to a table that is there."""
        require("pyarrow", "mortality")
        import pyarrow as pa

        if rows:
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            names = [f"c{at}" for at in range(len(columns))]
            with refusals(f"the table {table}"):
                self.connection.from_arrow(pa.table(columns, names=names)).insert_into(table)


@contextmanager
def opened(work: Work, beside: Path) -> Iterator[Engine]:
    """A database in memory; what exceeds it spills to a private folder, removed in the end."""
    require("duckdb", "mortality")
    import duckdb

    with (
        spill_folder(work.spill or beside.absolute().parent) as folder,
        duckdb.connect() as connection,
    ):
        _configure(connection, work, folder)
        # In memory, but compressed: no log and no syncs, and what exceeds the memory spills.
        connection.execute("ATTACH ':memory:' AS work (COMPRESS); USE work")
        yield Engine(connection)


def _configure(connection: "duckdb.DuckDBPyConnection", work: Work, folder: Path) -> None:
    import duckdb

    options = {
        "memory_limit": work.memory,
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
        "enable_progress_bar": False,
        "autoinstall_known_extensions": False,
    }
    if work.threads:
        options["threads"] = work.threads
    for name, value in options.items():
        try:
            connection.execute(f"SET {name} = {value!r}".replace("False", "false"))
        except duckdb.Error:
            raise UsageError(
                f"`{value}` cannot be understood as {name.replace('_', ' ')}",
                hint="memory is written like 4GB or 512MB",
            ) from None


def literal(path: Path) -> str:
    """A path as DuckDB takes it: signs that would make it a pattern stand for themselves."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


@contextmanager
def refusals(about: object) -> Iterator[None]:
    """Turns what DuckDB says into a sentence without any value of a row."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise PatientDxError(
            "the database needs more memory than it may use, or its spill folder is full",
            hint="give --memory more, or --spill FOLDER on a larger disk",
        ) from None
    except duckdb.IOException:
        raise PatientDxError(
            f"{about}: cannot be read, or the spill folder is full",
            hint="check the file and the free space; --spill FOLDER names another disk",
        ) from None
    except duckdb.Error as error:
        line = _LINE.search(str(error))
        place = f"{about}:{line[1]}" if line else f"{about}"
        raise InputError(
            f"{place}: the table cannot be read ({type(error).__name__})",
            hint="is the file damaged, or cut short?",
        ) from None
