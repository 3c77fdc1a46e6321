"""The conversion of a row to a patient, by the columns that hold what."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from patientdx.errors import InputError
from patientdx.records import Patient, Sex

from .columns import Columns, ColumnsError, NamedColumns, columns_of_row, resolve_columns
from .demographics import demographics_from_text
from .rows import Row
from .values import age_from_field, date_from_field, sex_from_field

_NAME = re.compile(r"[^\W\d][\w.-]{0,39}")
_RELATIONS = frozenset({"relevant_articles", "similar_patients"})
_MOST_SHAPES = 1_000

_Value = TypeVar("_Value")


class RowProblemError(ValueError):
    """A defect of one row, described without quoting the note."""


@dataclass
class Fields:
    """Turns the rows of a source into patients.

    `columns` are those of the first row; a `sparse` source may have others in later rows.
    """

    columns: Columns
    user: NamedColumns
    sparse: bool
    _shapes: dict[tuple[str, ...], Columns] = field(default_factory=dict, repr=False)

    def patient(self, row: Row) -> Patient:
        """The patient of a row. Raises RowProblemError."""
        columns = self._columns_of(row)
        note_id = read_id(row, columns.id)
        title = row.get(columns.title) if columns.title else None
        title = replace_surrogates(title) if isinstance(title, str) and title.strip() else ""
        text = read_text(row, columns.text, may_be_empty=bool(title))
        age, age_column = _understood(row, [columns.age], age_from_field)
        sex: Sex | None
        sex, sex_column = _understood(row, [columns.sex], sex_from_field)
        date, _ = _understood(row, columns.dates, date_from_field)
        used = {columns.id, columns.text, columns.patient, columns.title, age_column, sex_column}
        metadata = _metadata(row, used, as_text=columns.is_pmc)
        derived: tuple[str, ...] = ()
        if age is None or sex is None:
            age, sex, derived = _complete_from_text(age, sex, text)
        patient_id, own_id = note_id, ""
        if columns.patient is not None:
            patient_id, own_id = read_id(row, columns.patient), note_id
        return Patient(
            patient_id, text, title, age, sex, metadata, derived, note_id=own_id, date=date or ""
        )

    def _columns_of(self, row: Row) -> Columns:
        if not self.sparse:
            return self.columns
        shape = tuple(row)
        columns = self._shapes.get(shape)
        if columns is None:
            try:
                columns = columns_of_row(self.columns, shape, self.user)
            except ColumnsError as error:
                raise RowProblemError(str(error)) from error
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[shape] = columns
        return columns


def resolve_fields(
    user: NamedColumns, name: str, line: int, available: Sequence[str], *, sparse: bool
) -> Fields:
    """The fields of a source by its first row. Raises InputError, which lists the columns."""
    try:
        columns = resolve_columns(available, user, sparse=sparse)
    except ColumnsError as error:
        hint = error.hint or "name it with --id-field and --text-field"
        if not error.hint:
            hint = f"{hint}; {_list_columns(list(available))}"
        raise InputError.at(name, line, str(error), hint=hint) from error
    return Fields(columns, user, sparse)


def _metadata(
    row: Row, used: set[str | None], *, as_text: bool
) -> dict[str, str | int | float | bool]:
    return {
        replace_surrogates(name): replace_surrogates(str(value))
        if as_text or isinstance(value, str)
        else value
        for name, value in row.items()
        if name not in used and name not in _RELATIONS and _is_metadata(value)
    }


def _understood(
    row: Row, columns: Iterable[str | None], read: Callable[[Any], _Value | None]
) -> tuple[_Value | None, str | None]:
    """The value of the first column that `read` understands, and the name of that column."""
    for column in columns:
        value = read(row[column]) if column is not None and column in row else None
        if value is not None:
            return value, column
    return None, None


def _complete_from_text(
    age: float | None, sex: Sex | None, text: str
) -> tuple[float | None, Sex | None, tuple[str, ...]]:
    """Age and sex, missing ones from the text of the note, and the names of those."""
    text_age, text_sex = demographics_from_text(text)
    derived = []
    if age is None and text_age is not None:
        derived.append("age_years")
    if sex is None and text_sex is not None:
        derived.append("sex")
    return (
        text_age if age is None else age,
        text_sex if sex is None else sex,
        tuple(derived),
    )


def _is_metadata(value: object) -> bool:
    """True for values that metadata can hold: a text, a truth value or a finite number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int) or (isinstance(value, str) and value != "")


def _list_columns(columns: list[str]) -> str:
    """The names of the fields, unless they may be the words of a patient.

    A CSV file without a header, or a note instead of a corpus, has text where names should be.
    """
    if len(columns) > 1 and all(map(_NAME.fullmatch, columns)):
        return f"fields found: {', '.join(columns)}"
    return "the first line of a CSV file, and every JSON object, names its fields"


def read_id(row: Row, field: str) -> str:
    """The id of a row as a string. Raises RowProblemError."""
    if row.get(field) is None:
        raise RowProblemError(f"field `{field}` is missing")
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowProblemError(f"the id in `{field}` is neither a string nor a whole number")
    identifier = str(value).strip()
    if not identifier:
        raise RowProblemError(f"the id in `{field}` is empty")
    if not identifier.isprintable():
        raise RowProblemError(
            f"the id in `{field}` holds a line break or another control character"
        )
    return identifier


def read_text(row: Row, field: str, *, may_be_empty: bool = False) -> str:
    """The text of a row. Raises RowProblemError."""
    value = row.get(field)
    if value is None:
        raise RowProblemError(f"field `{field}` is missing")
    if not isinstance(value, str):
        raise RowProblemError(f"field `{field}` is no text")
    if not value.strip() and not may_be_empty:
        raise RowProblemError(f"the text in `{field}` is empty")
    return replace_surrogates(value)


def replace_surrogates(text: str) -> str:
    """The text with `?` for lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
