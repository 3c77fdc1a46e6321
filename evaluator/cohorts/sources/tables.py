"""The tables of a database folder, in any of its layouts, as views under one set of names.

MIMIC's files are csv or csv.gz, in folders of modules (`hosp`, `icu`, in version 1 also `core`)
or beside each other, in lower or upper case. `chartevents.rebuilt.csv.gz` counts as
`chartevents` where that is absent.
"""

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.cohorts.database import Database, escape_glob, translate_errors
from patientdx.errors import InputError

_SUFFIXES = (".csv", ".csv.gz", ".txt")  # the challenge of 2012 names its tables .txt
_GLOBS = ("*", "*/*", "*/*/*")


@dataclass(frozen=True)
class SourceTable:
    """A table by its file name, with our names of its columns and their spellings in all versions.

    `missing_note` explains what a cohort lacks without the table; without a note the table is
    required. `optional` columns may be absent, `constants` are SQL values of columns that the
    table never has.
    """

    file: str
    columns: Mapping[str, Sequence[str]]
    missing_note: str = ""
    optional: frozenset[str] = frozenset()
    constants: Mapping[str, str] = field(default_factory=dict)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Our names of its columns."""
        return (*self.columns, *self.constants)


def find_tables(folder: Path, tables: Sequence[SourceTable]) -> dict[str, Path]:
    """File name of a table -> its path. Raises InputError where the folder does not exist."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    paths = sorted(path for pattern in _GLOBS for path in folder.glob(pattern) if path.is_file())
    files: dict[str, Path] = {}
    for table in tables:
        matches = [path for path in paths if _is_table(path.name.lower(), table.file)]
        if matches:  # prefers the exact name, then uncompressed files: they are read in parallel
            files[table.file] = min(matches, key=lambda path: (path.name.count("."), path.name))
    return files


def _is_table(name: str, table: str) -> bool:
    return name.startswith(f"{table}.") and name.endswith(_SUFFIXES)


def create_views(
    database: Database, folder: Path, tables: Mapping[str, SourceTable], source: str
) -> dict[str, Path | None]:
    """Creates a view `raw_NAME` of each table, empty where it is missing; the path of each.

    Raises InputError that names a missing table that is required, or columns of another version.
    """
    files = find_tables(folder, list(tables.values()))
    missing = [table for table in tables.values() if table.file not in files]
    required = sorted(table.file for table in missing if not table.missing_note)
    if required:
        raise InputError(
            f"{folder}: no table {', '.join(required)} (csv or csv.gz): this is not {source}, "
            "or it is not complete",
            hint=_suggest_source(folder, source),
        )
    for name, table in tables.items():
        _create_view(database, f"raw_{name}", table, files.get(table.file))
    return {name: files.get(table.file) for name, table in tables.items()}


def missing_table_notes(
    tables: Mapping[str, SourceTable], paths: Mapping[str, Path | None]
) -> tuple[str, ...]:
    """A note for each table that is missing."""
    return tuple(
        f"no table {table.file}: {table.missing_note}"
        for name, table in tables.items()
        if paths[name] is None
    )


def _suggest_source(folder: Path, source: str) -> str:
    names = {path.name.lower() for path in folder.glob("*")}
    if "set-a.csv.gz" in names or "set-a" in names:
        return f"patientdx cohort physionet2012 {folder} --into cohort.parquet"
    if "metadata" in names and "data" in names:
        return f"patientdx cohort meds {folder} --labels FILE --into cohort.parquet"
    return f"name the folder that holds the tables of {source}"


def _create_view(database: Database, view: str, table: SourceTable, path: Path | None) -> None:
    if path is None:
        columns = ", ".join(f"NULL::VARCHAR AS {name}" for name in table.column_names)
        database.connection.sql("FROM (VALUES (1)) LIMIT 0").project(columns).create_view(view)
        return
    header = read_header(path)
    terms = _select_terms(table, path, header)
    with translate_errors(path):
        rows = database.connection.read_csv(
            escape_glob(path),
            header=True,
            columns=dict.fromkeys(header, "VARCHAR"),
            auto_detect=False,
            delimiter=",",
            quotechar='"',
            escapechar='"',
        )
        rows.project(", ".join(terms)).create_view(view)


def _select_terms(table: SourceTable, path: Path, header: Sequence[str]) -> list[str]:
    """SQL terms of our columns. Raises InputError where the file lacks a required column."""
    by_lower = {name.lower(): name for name in header}
    matches = {name: _match(spellings, by_lower) for name, spellings in table.columns.items()}
    missing = [
        name for name, match in matches.items() if match is None and name not in table.optional
    ]
    if missing:
        spellings = ", ".join(table.columns[name][0] for name in missing)
        raise InputError.at(
            path,
            1,
            f"no column {spellings}",
            hint="is this a table of another database or version?",
        )
    values = {name: f'"{match}"' if match else "NULL::VARCHAR" for name, match in matches.items()}
    return [f"{value} AS {name}" for name, value in {**values, **table.constants}.items()]


def _match(spellings: Sequence[str], by_lower: Mapping[str, str]) -> str | None:
    return next((by_lower[name] for name in spellings if name in by_lower), None)


def read_header(path: Path) -> list[str]:
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
