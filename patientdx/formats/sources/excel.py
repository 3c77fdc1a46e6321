"""Rows of the first sheet of an Excel workbook (.xlsx), read as a stream by openpyxl.

A workbook is a zip archive of XML files: what it unpacks to is bounded before it is opened, and
defusedxml refuses entities. The table of shared texts is the only part that is held in memory.
"""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from patientdx.capabilities import require_package
from patientdx.errors import InputError
from patientdx.formats.rows import Row
from patientdx.formats.tables import check_names

from .cells import plain_value
from .row_source import PlainSource, Remarks

ZIP = b"PK\x03\x04"

_WORKBOOK = "xl/workbook.xml"
_SHARED_TEXTS = "xl/sharedstrings.xml"
_MOST_UNPACKED = 2 << 30  # bytes of all parts
_MOST_SHARED = 1 << 29  # bytes of the shared texts, which are held in memory
_SMALL = 1 << 26  # bytes: below, a part may be packed as well as it likes
_MOST_PACKED = 150  # times; tables pack 5 to 30 times
_MOST_ROWS = 1 << 20  # of a sheet, by Excel itself
_DAMAGE = (
    # What openpyxl raises for damaged workbooks; ParseError is a SyntaxError.
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(SyntaxError, RuntimeError, OSError, EOFError, MemoryError, zlib.error, BadZipFile),
)


def is_workbook(path: Path) -> bool:
    """True for a zip archive that holds a workbook of Excel."""
    try:
        with ZipFile(path) as archive:
            return _WORKBOOK in archive.namelist()
    except _DAMAGE:
        return False


@contextmanager
def open_workbook(path: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The rows of the first sheet, by their numbers in the sheet; the first row names the columns.

    Raises ExtraMissingError without openpyxl, InputError for a workbook that is damaged, too large
    unpacked, or empty. Other sheets are left out and counted.
    """
    require_package("openpyxl", "excel")
    require_package("defusedxml", "excel")
    _check_sizes(path)
    with _one_sentence(path), path.open("rb") as data, closing(_load(data)) as workbook:
        sheets = workbook.worksheets
        if not sheets:
            raise InputError(f"{path}: there is no sheet in this workbook", hint="add one")
        if len(sheets) > 1:
            remarks.left_out.add("sheets after the first of the workbook", len(sheets) - 1)
        sheets[0].reset_dimensions()
        rows = _numbered(path, sheets[0])
        line, names = next(rows, (1, ()))
        columns = _columns(path, line, names, remarks)
        yield PlainSource(
            str(path),
            _rows(path, rows, columns, remarks),
            remarks,
            [name for _, name in columns],
            line,
        )


def _check_sizes(path: Path) -> None:
    """Raises InputError for what unpacks to too much; zipfile reads no more than it announces."""
    try:
        with ZipFile(path) as archive:
            parts = archive.infolist()
    except _DAMAGE as error:
        raise _damaged(path) from error
    shared = sum(part.file_size for part in parts if part.filename.lower() == _SHARED_TEXTS)
    packed_too_well = any(
        part.file_size > max(_SMALL, _MOST_PACKED * part.compress_size) for part in parts
    )
    total = sum(part.file_size for part in parts)
    if packed_too_well or shared > _MOST_SHARED or total > _MOST_UNPACKED:
        raise InputError(
            f"{path}: this workbook unpacks to {total / 1e6:,.0f} MB, more than is read",
            hint="save the sheet as CSV, which is read as a stream",
        )


def _load(data: BinaryIO) -> Any:
    """The workbook of an open file, whatever its name: openpyxl refuses paths by their endings."""
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that openpyxl does not know
        return openpyxl.load_workbook(data, read_only=True, data_only=True, keep_links=False)


def _damaged(path: Path) -> InputError:
    hint = "open it and save it again as .xlsx, or save the sheet as CSV"
    return InputError(f"{path}: this Excel workbook is damaged or locked", hint=hint)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turns the many errors of openpyxl into an InputError."""
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path) from error


def _numbered(path: Path, sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    """(number in the sheet, values) of the rows that are not empty."""
    with _one_sentence(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number > _MOST_ROWS:
                raise InputError(
                    f"{path}: this sheet has more rows than Excel allows", hint="is it damaged?"
                )
            if any(value is not None for value in values):
                yield number, values


def _columns(
    path: Path, line: int, names: Sequence[Any], remarks: Remarks
) -> list[tuple[int, str]]:
    """(place, name) of the columns that have a name; others are left out."""
    named = [
        (place, str(plain_value(name)).strip())
        for place, name in enumerate(names)
        if name is not None and str(name).strip()
    ]
    check_names(str(path), line, [name for _, name in named])
    if not named:
        raise InputError(f"{path}: the first sheet is empty", hint="put the table into it")
    without_name = named[-1][0] + 1 - len(named)
    if without_name:
        remarks.left_out.add("columns without a name", without_name)
    return named


def _rows(
    path: Path,
    rows: Iterator[tuple[int, Sequence[Any]]],
    columns: list[tuple[int, str]],
    remarks: Remarks,
) -> Iterator[tuple[int, Row]]:
    width = columns[-1][0] + 1
    for number, values in rows:
        if any(value is not None for value in values[width:]):
            remarks.reject(str(path), number, "there is a value beside the named columns")
            continue
        yield (
            number,
            {
                name: plain_value(values[place]) if place < len(values) else None
                for place, name in columns
            },
        )
