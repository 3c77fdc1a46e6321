"""The lines of tables: comma, semicolon or tab between cells, each record with its first line.

Tables with commas or semicolons are CSV, where a quoted cell may hold separators and line breaks.
In tables with tabs a quote is a character as any other, unless all names of the header are quoted:
then every cell is quoted or holds no quote.
"""

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain

from patientdx.errors import InputError
from patientdx.storage.text_files import TextInput

_SEPARATORS = ("\t", ",", ";")  # in the order of preference
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_ALL_QUOTED = re.compile(r'\s*"(?:[^"]|"")*"(?:\t"(?:[^"]|"")*")*\s*')
_EXCEL_SEPARATOR = re.compile(r"sep=[,;\t]\s*", re.IGNORECASE)  # a line before the header
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^"\t]*))(\t|\Z)')


def separator_of(header: str) -> str:
    """The separator that stands most often in a header, outside its quoted names."""
    bare = _QUOTED.sub("", header)
    most = max(_SEPARATORS, key=bare.count)
    return most if most in bare else ","


def records(source: TextInput) -> Iterator[tuple[int, str, list[str]]]:
    """(first line, separator, cells) of a table's records, the header first, without blank lines.

    Raises InputError for a record that is malformed.
    """
    lines = source.lines()
    texts = (line for line in lines if not line.isspace())
    header = next(texts, None)
    if header is not None and _EXCEL_SEPARATOR.fullmatch(header):
        header = next(texts, None)
    if header is None:
        return
    separator = separator_of(header)
    if separator != "\t":
        of_table = _csv_records(source, chain([header], lines), separator)
    elif _ALL_QUOTED.fullmatch(header):
        of_table = _quoted_records(source, chain([header], lines))
    else:
        of_table = _plain_records(source, chain([header], lines))
    for start, cells in of_table:
        yield start, separator, cells


def check_names(
    source: str, line: int, names: Sequence[str], hint: str = "give each column a name of its own"
) -> None:
    """Raises InputError for a table in which two columns have one name.

    The names are not quoted: a table without a header begins with a patient.
    """
    for second, name in enumerate(names):
        first = names.index(name)
        if first < second:
            problem = f"columns {first + 1} and {second + 1} have the same name"
            raise InputError.at(source, line, problem, hint=hint)


def _csv_records(
    source: TextInput, lines: Iterator[str], separator: str
) -> Iterator[tuple[int, list[str]]]:
    allow_long_fields()
    start = source.line
    try:
        for cells in csv.reader(lines, delimiter=separator, strict=True):
            if cells:
                yield start, cells
            start = source.line + 1
    except csv.Error as error:
        raise InputError.at(
            source.name,
            source.line,
            f"malformed CSV in the row that begins on line {start} ({error})",
            hint='a field with a comma, a quote or a line break stands in "..."',
        ) from error


def _plain_records(source: TextInput, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    for line in lines:
        if not line.isspace():
            yield source.line, line.rstrip("\r\n").split("\t")


def _quoted_records(source: TextInput, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Records of a table with tabs whose header is quoted; their quotes come in pairs."""
    parts: list[str] = []
    start, is_open = source.line, False
    for line in lines:
        if not parts:
            start = source.line
        parts.append(line)
        is_open ^= line.count('"') % 2 == 1
        if is_open:
            continue
        record = "".join(parts)
        parts = []
        if not record.isspace():
            yield start, _quoted_cells(source.name, start, record.rstrip("\r\n"))
    if parts:
        raise _quote_error(source.name, start)


def _quoted_cells(name: str, start: int, record: str) -> list[str]:
    cells: list[str] = []
    end, follows = 0, True
    while follows:
        cell = _CELL.match(record, end)
        if cell is None:
            raise _quote_error(name, start)
        quoted, bare, separator = cell.groups()
        cells.append(bare if quoted is None else quoted.replace('""', '"'))
        end, follows = cell.end(), separator == "\t"
    return cells


def _quote_error(name: str, start: int) -> InputError:
    return InputError.at(
        name,
        start,
        "a quote in the row that begins here opens or closes no field",
        hint="the header is quoted: quote every field, and write a quote within as two",
    )


def allow_long_fields() -> None:
    """Lifts csv's limit of 131,072 characters per field, which case reports exceed."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
