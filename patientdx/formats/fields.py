"""The conversion of a row to a patient, by the columns that hold what."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import InputError
from patientdx.records import Patient, Sex

from .columns import Columns, ColumnsError, NamedColumns, columns_of_row, resolve_columns
from .demographics import demographics_from_text
from .rows import Row
from .summary import CorpusSummary
from .value_maps import Role, ValueMaps
from .values import Age

_NAME = re.compile(r"[^\W\d][\w.-]{0,39}")
_RELATIONS = frozenset({"relevant_articles", "similar_patients"})
_MOST_SHAPES = 1_000


class RowProblemError(ValueError):
    """A defect of one row, described without quoting the note."""


class EmptyTextError(RowProblemError):
    """A row without a text."""


class LeftOutError(ValueError):
    """A row that is left out and counted: what it is, in the plural."""


@dataclass
class Fields:
    """Turns the rows of a source into patients, and counts in `summary` what it understands.

    `columns` are those of the first row; a `sparse` source may have others in later rows.
    """

    columns: Columns
    user: NamedColumns
    sparse: bool
    maps: ValueMaps
    summary: CorpusSummary
    _shapes: dict[tuple[str, ...], Columns] = field(default_factory=dict, repr=False)

    def patient(self, row: Row) -> Patient:
        """The patient of a row. Raises RowProblemError, and LeftOutError for an empty note."""
        columns = self._columns_of(row)
        if columns.error_mark and str(row.get(columns.error_mark)).strip() in {"1", "1.0"}:
            raise LeftOutError(f"notes marked as errors in `{columns.error_mark}`")
        note_id = read_id(row, columns.id)
        patient_id, own_id = note_id, ""
        if columns.patient is not None:
            patient_id, own_id = read_id(row, columns.patient), note_id
        title = row.get(columns.title) if columns.title else None
        title = replace_surrogates(title) if isinstance(title, str) and title.strip() else ""
        text = read_text(row, columns.text, may_be_empty=bool(title))
        known = self._known(row, columns, text)
        used = {columns.id, columns.text, columns.patient, columns.title, *known.fields}
        return Patient(
            patient_id,
            text,
            title,
            known.age.years if known.age else None,
            known.sex,
            _metadata(row, used, as_text=columns.is_pmc),
            known.derived,
            own_id,
            known.date or "",
            known.age.until if known.age else None,
        )

    def _known(self, row: Row, columns: Columns, text: str) -> "_Known":
        """Age, sex and date by the fields of a row, else age and sex by the words of its note."""
        age, age_field = self._understood("age", row, [columns.age])
        sex, sex_field = self._understood("sex", row, [columns.sex])
        date, _ = self._understood("date", row, columns.dates)
        derived: list[str] = []
        if age is None or sex is None:
            age_of_text, sex_of_text = demographics_from_text(text)
            if age is None and age_of_text is not None:
                age = age_of_text
                derived.append("age_years")
            if sex is None and sex_of_text is not None:
                sex = sex_of_text
                derived.append("sex")
        return _Known(age, sex, date, (age_field, sex_field), tuple(derived))

    def _understood(
        self, role: Role, row: Row, columns: Iterable[str | None]
    ) -> tuple[Any, str | None]:
        """The value of the first column that is understood, and the name of that column."""
        for column in columns:
            value = row.get(column) if column is not None else None
            if value is None or value == "" or (isinstance(value, str) and not value.strip()):
                continue
            understood, meaning = self.maps.understand(role, value)
            self.summary.note_value(role, value, understood=understood)
            if meaning is not None:
                return meaning, column
        return None, None

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
            self.summary.add_columns(columns)
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[shape] = columns
        return columns


@dataclass(frozen=True)
class _Known:
    """What a row says of the patient; `fields` are the columns that said it."""

    age: Age | None
    sex: Sex | None
    date: str | None
    fields: tuple[str | None, ...]
    derived: tuple[str, ...]


def resolve_columns_of(
    user: NamedColumns, name: str, line: int, available: Sequence[str], *, sparse: bool
) -> Columns:
    """The columns of a source by its first row. Raises InputError, which lists them."""
    try:
        return resolve_columns(available, user, sparse=sparse)
    except ColumnsError as error:
        hint = error.hint or "name it with --id-field and --text-field"
        if not error.hint:
            hint = f"{hint}; {_list_columns(list(available))}"
        raise InputError.at(name, line, str(error), hint=hint) from error


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
    if field not in row:
        raise RowProblemError(f"field `{field}` is missing")
    value = "" if row[field] is None else row[field]
    if not isinstance(value, str):
        raise RowProblemError(f"field `{field}` is no text")
    if not value.strip() and not may_be_empty:
        raise EmptyTextError(f"the text in `{field}` is empty")
    return replace_surrogates(value)


def replace_surrogates(text: str) -> str:
    """The text with `?` for lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
