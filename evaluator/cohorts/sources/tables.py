"""Finding the tables of a database folder, in any of its layouts, under one set of names.

MIMIC's files are csv or csv.gz, in folders of modules (`hosp`, `icu`, in version 1 also `core`)
or beside each other, in small or capital letters. `chartevents.rebuilt.csv.gz` counts as
`chartevents` where that is absent.
"""

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.cohorts.duckdb_engine import Engine, literal, refusals
from patientdx.errors import InputError

_PACKINGS = (".csv", ".csv.gz", ".txt")  # the challenge of 2012 calls its tables .txt


@dataclass(frozen=True)
class Table:
    """A table by its file name; columns by our name, with the spellings of all versions.

    `without` says what goes missing without it; a table without that is needed. `optional`
    columns may be absent, `constants` are SQL values of columns that the table never has.
    """

    file: str
    columns: Mapping[str, Sequence[str]]
    without: str = ""
    optional: frozenset[str] = frozenset()
    constants: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Our names of its columns."""
        return (*self.columns, *self.constants)


def find_tables(folder: Path, tables: Sequence[Table]) -> dict[str, Path]:
    """The file of each table that is there. Raises InputError where the folder is unreadable."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    there = sorted(path for depth in _DEPTHS for path in folder.glob(depth) if path.is_file())
    found: dict[str, Path] = {}
    for table in tables:
        fitting = [path for path in there if _fits(path.name.lower(), table.file)]
        if fitting:  # the exact name first, then what is not compressed: it is read in parallel
            found[table.file] = min(fitting, key=lambda path: (path.name.count("."), path.name))
    return found


_DEPTHS = ("*", "*/*", "*/*/*")


def _fits(name: str, table: str) -> bool:
    return name.startswith(f"{table}.") and name.endswith(_PACKINGS)


def open_tables(
    engine: Engine, folder: Path, tables: Mapping[str, Table], database: str
) -> dict[str, Path | None]:
    """Makes a view `raw_NAME` of each table, empty where one may be missing and is.

    Raises InputError that names a table that is needed, or columns of another version.
    """
    found = find_tables(folder, list(tables.values()))
    missing = [table for table in tables.values() if table.file not in found]
    needed = sorted(table.file for table in missing if not table.without)
    if needed:
        raise InputError(
            f"{folder}: no table {', '.join(needed)} (csv or csv.gz): this is not {database}, "
            "or it is not complete",
            hint=_other(folder, database),
        )
    for name, table in tables.items():
        _open(engine, f"raw_{name}", table, found.get(table.file))
    return {name: found.get(table.file) for name, table in tables.items()}


def absences(tables: Mapping[str, Table], found: Mapping[str, Path | None]) -> tuple[str, ...]:
    """A sentence for each table that is missing."""
    return tuple(
        f"no table {table.file}: {table.without}"
        for name, table in tables.items()
        if found[name] is None
    )


def _other(folder: Path, database: str) -> str:
    names = {path.name.lower() for path in folder.glob("*")}
    if "set-a.csv.gz" in names or "set-a" in names:
        return f"patientdx cohort physionet2012 {folder} --into cohort.parquet"
    if "metadata" in names and "data" in names:
        return f"patientdx cohort meds {folder} --labels FILE --into cohort.parquet"
    return f"name the folder that holds the tables of {database}"


def _open(engine: Engine, view: str, table: Table, path: Path | None) -> None:
    if path is None:
        columns = ", ".join(f"NULL::VARCHAR AS {name}" for name in table.names)
        engine.connection.sql("FROM (VALUES (1)) LIMIT 0").project(columns).create_view(view)
        return
    names = header(path)
    terms = _terms(table, path, names)
    with refusals(path):
        rows = engine.connection.read_csv(
            literal(path),
            header=True,
            columns=dict.fromkeys(names, "VARCHAR"),
            auto_detect=False,
            delimiter=",",
            quotechar='"',
            escapechar='"',
        )
        rows.project(", ".join(terms)).create_view(view)


def _terms(table: Table, path: Path, names: Sequence[str]) -> list[str]:
    """Our columns out of those of the file. Raises InputError where one that is needed is not."""
    there = {name.lower(): name for name in names}
    chosen = {name: _spelling(spellings, there) for name, spellings in table.columns.items()}
    lacking = [name for name, one in chosen.items() if one is None and name not in table.optional]
    if lacking:
        spelt = ", ".join(table.columns[name][0] for name in lacking)
        raise InputError.at(
            path, 1, f"no column {spelt}", hint="is this a table of another database or version?"
        )
    own = {name: f'"{one}"' if one else "NULL::VARCHAR" for name, one in chosen.items()}
    return [f"{value} AS {name}" for name, value in {**own, **table.constants}.items()]


def _spelling(spellings: Sequence[str], there: Mapping[str, str]) -> str | None:
    return next((there[name] for name in spellings if name in there), None)


def header(path: Path) -> list[str]:
    """The names of a table's columns. Raises InputError for a file that is not a table."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
            line = stream.readline(65_536).lstrip("\ufeff")
    except (OSError, EOFError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read", hint="is it damaged, or cut short?") from None
    names = next(csv.reader([line.rstrip("\r\n")]), [])
    if not names:
        raise InputError.at(path, 1, "the table is empty")
    return names
