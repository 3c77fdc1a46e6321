"""Tables of a folder by their names, in CSV, TSV or Parquet, and notes that are joined to them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.formats.rows import Row, Rows
from patientdx.formats.sources.arrow_tables import PARQUET, open_arrow_table
from patientdx.formats.sources.row_source import PlainSource, Remarks, RowSource
from patientdx.storage.text_files import TextInput, is_file

_FORMS = r"(?:\.(?:csv|tsv)(?:\.gz|\.zst)?|\.parquet)"


class Person(NamedTuple):
    """What a table of patients says of one: the sex as it is written there, and birth."""

    sex: Any
    birth: str


class Values:
    """The values of a row by names in lower case."""

    def __init__(self, row: Row) -> None:
        self._names = {name.lower(): name for name in row}
        self._row = row

    def text(self, name: str) -> str:
        """A value as text; "" where it is missing. Whole numbers have no point."""
        value = self._row.get(self._names.get(name, name))
        return "" if value is None else str(value).strip().removesuffix(".0")

    def number(self, name: str) -> int | None:
        """A whole number; None for everything else."""
        text = self.text(name)
        return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def find_table(folders: Iterable[Path], name: str) -> Path | None:
    """The table of a name in the first of some folders that has it, whatever its case."""
    wanted = re.compile(re.escape(name) + _FORMS, re.IGNORECASE)
    for folder in folders:
        if folder.is_dir():
            tables = sorted(path for path in folder.iterdir() if wanted.fullmatch(path.name))
            if tables and is_file(tables[0]):
                return tables[0]
    return None


@contextmanager
def open_table(path: Path, remarks: Remarks) -> Iterator[RowSource]:
    """The rows of a table. Raises InputError, and ExtraMissingError for Parquet without pyarrow."""
    with path.open("rb") as opened:
        head = opened.read(len(PARQUET))
    if head == PARQUET:
        with open_arrow_table(path, head, remarks) as rows:
            yield rows
    else:
        with TextInput(path) as text:
            yield Rows(text, remarks.skip, remarks.hint)


def has_columns(path: Path, names: Iterable[str]) -> bool:
    """Whether the first row of a table has columns of these names in lower case."""
    with open_table(path, Remarks()) as rows:
        _, first = next(iter(rows), (0, {}))
    return {name.lower() for name in first}.issuperset(names)


def read_people(
    path: Path | None, key: str, person: Callable[[Values], Person], remarks: Remarks
) -> dict[str, Person]:
    """The rows of a table of patients by their ids; none without a table."""
    if path is None:
        return {}
    with open_table(path, remarks) as rows:
        values = (Values(row) for _, row in rows)
        return {row.text(key): person(row) for row in values}


@contextmanager
def open_notes(
    tables: list[Path],
    complete: Callable[[Values], Mapping[str, Any]],
    remarks: Remarks,
) -> Iterator[PlainSource]:
    """The rows of tables of notes with the values that `complete` adds."""
    source = PlainSource(str(tables[0]), (), remarks)
    source.rows = _completed(source, tables, complete, remarks)
    yield source


def _completed(
    source: PlainSource,
    tables: list[Path],
    complete: Callable[[Values], Mapping[str, Any]],
    remarks: Remarks,
) -> Iterator[tuple[int, Row]]:
    for path in tables:
        source.name = str(path)
        with open_table(path, remarks) as rows:
            for line, row in rows:
                yield line, {**row, **complete(Values(row))}
