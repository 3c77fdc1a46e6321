"""DuckDB with bounded memory, a private spill folder, and errors without patient data.

DuckDB's messages may quote a row, so none of them is shown.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patientdx.capabilities import require_package
from patientdx.errors import InputError, PatientDxError, UsageError

from .spilling import spill_folder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_CSV_LINE = re.compile(r"CSV Error on Line: ([0-9]+)")


@dataclass(frozen=True)
class DatabaseOptions:
    """The resources of the database: memory, threads, and where it spills.

    `spill` is the parent of the private spill folder; None takes the folder of the result.
    `rows_per_part` bounds the chart events whose percentiles are computed together.
    """

    memory: str = "4GB"
    threads: int | None = None
    spill: Path | None = None
    rows_per_part: int = 8_000_000


class Database:
    """A temporary database that runs the scripts of the folder `sql`."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", rows_per_part: int) -> None:
        self.connection = connection
        self.rows_per_part = rows_per_part

    def set_variables(self, **values: Any) -> None:
        """Sets variables, which scripts read by `getvariable`."""
        for name, value in values.items():
            self.connection.execute(f"SET VARIABLE {name} = ?", [value])

    def run_script(self, script: str, subject: object = "the tables") -> None:
        """Runs `sql/SCRIPT.sql`; error messages name `subject`, the file that it reads."""
        with translate_errors(subject):
            self.connection.execute(read_script(script))

    def fetch_rows(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with translate_errors("the tables"):
            rows: list[tuple[Any, ...]] = self.connection.execute(query, values).fetchall()
        return rows

    def fetch_arrow(self, query: str, values: Any = None) -> "pa.Table":
        """The rows of a query as an Arrow table."""
        with translate_errors("the tables"):
            return self.connection.sql(query, params=values).to_arrow_table()

    def insert_rows(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows to an existing table."""
        require_package("pyarrow", "mortality")
        import pyarrow as pa

        if rows:
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            names = [f"c{position}" for position in range(len(columns))]
            with translate_errors(f"the table {table}"):
                self.connection.from_arrow(pa.table(columns, names=names)).insert_into(table)


def read_script(script: str) -> str:
    """The text of `sql/SCRIPT.sql`."""
    return files(__package__).joinpath("sql", f"{script}.sql").read_text(encoding="utf-8")


@contextmanager
def open_database(options: DatabaseOptions, output: Path) -> Iterator[Database]:
    """A database in memory that spills to a private folder, which is removed at the end."""
    require_package("duckdb", "mortality")
    import duckdb

    with (
        spill_folder(options.spill or output.absolute().parent) as folder,
        duckdb.connect() as connection,
    ):
        _configure(connection, options, folder)
        # In memory, but compressed: no log and no syncs, and what exceeds the memory spills.
        connection.execute("ATTACH ':memory:' AS work (COMPRESS); USE work")
        yield Database(connection, options.rows_per_part)


def _configure(
    connection: "duckdb.DuckDBPyConnection", options: DatabaseOptions, folder: Path
) -> None:
    import duckdb

    settings = {
        "memory_limit": options.memory,
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
        "enable_progress_bar": False,
        "autoinstall_known_extensions": False,
    }
    if options.threads:
        settings["threads"] = options.threads
    for name, value in settings.items():
        try:
            connection.execute(f"SET {name} = {value!r}".replace("False", "false"))
        except duckdb.Error:
            raise UsageError(
                f"`{value}` cannot be understood as {name.replace('_', ' ')}",
                hint="memory is written like 4GB or 512MB",
            ) from None


def escape_glob(path: Path) -> str:
    """A path in which DuckDB sees no pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


@contextmanager
def translate_errors(subject: object) -> Iterator[None]:
    """Turns DuckDB's errors into messages about `subject` without any value of a row."""
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
            f"{subject}: cannot be read, or the spill folder is full",
            hint="check the file and the free space; --spill FOLDER names another disk",
        ) from None
    except duckdb.Error as error:
        line = _CSV_LINE.search(str(error))
        location = f"{subject}:{line[1]}" if line else f"{subject}"
        raise InputError(
            f"{location}: the table cannot be read ({type(error).__name__})",
            hint="is the file damaged, or cut short?",
        ) from None
