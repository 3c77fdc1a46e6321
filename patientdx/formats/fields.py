"""The fields of a row that hold id, note and title, and the conversion of a row to a patient."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from patientdx.errors import InputError
from patientdx.records import Patient, Sex

from .demographics import age_from_field, demographics_from_text, sex_from_field
from .rows import Row

_ID_GUESSES = ("_id", "id", "patient_uid", "patient_id", "doc_id")
_TEXT_GUESSES = ("text", "patient", "note", "contents")
_AGE_FIELDS = ("age", "age_years", "Age")
_SEX_FIELDS = ("sex", "gender", "Sex", "Gender")
_NAME = re.compile(r"[^\W\d][\w.-]{0,39}")
_RELATIONS = frozenset({"relevant_articles", "similar_patients"})


_Value = TypeVar("_Value")


class RowProblemError(ValueError):
    """A defect of one row, described without quoting the note."""


@dataclass(frozen=True)
class NamedFields:
    """Field names set by the user; None for those to guess."""

    id: str | None = None
    text: str | None = None
    title: str | None = None

    def resolve(self, name: str, line: int, columns: Iterable[str]) -> "Fields":
        """The fields of a source by its first row. Raises InputError, which lists the columns."""
        available = list(columns)
        named = [field for field in (self.id, self.text, self.title) if field is not None]
        missing = [field for field in named if field not in available]
        id_field = self.id or _first_available(_ID_GUESSES, available)
        text_field = self.text or _first_available(_TEXT_GUESSES, available)
        if missing or id_field is None or text_field is None:
            what = "the id" if id_field is None else "the note"
            problem = f"no field `{missing[0]}`" if missing else f"which field is {what}?"
            hint = f"name it with --id-field and --text-field; {_list_columns(available)}"
            raise InputError.at(name, line, problem, hint=hint)
        # PMC-Patients: the title is that of the article, which a search must not see.
        is_pmc = "patient_uid" in available and "PMID" in available
        title = self.title or ("title" if "title" in available and not is_pmc else None)
        return Fields(id_field, text_field, title, as_text=is_pmc)


@dataclass(frozen=True)
class Fields:
    """The fields of one source; `as_text` makes all its metadata strings."""

    id: str
    text: str
    title: str | None
    as_text: bool

    def patient(self, row: Row) -> Patient:
        """The patient of a row. Raises RowProblemError."""
        patient_id = read_id(row, self.id)
        text = read_text(row, self.text)
        title = row.get(self.title) if self.title else None
        used = {self.id, self.text, self.title}
        age, age_field = _first_understood(row, _AGE_FIELDS, age_from_field)
        sex: Sex | None
        sex, sex_field = _first_understood(row, _SEX_FIELDS, sex_from_field)
        metadata = self._metadata(row, used | {age_field, sex_field})
        derived: tuple[str, ...] = ()
        if age is None or sex is None:
            age, sex, derived = _complete_from_text(age, sex, text)
        title = replace_surrogates(title) if isinstance(title, str) else ""
        return Patient(patient_id, text, title, age, sex, metadata, derived)

    def _metadata(self, row: Row, used: set[str | None]) -> dict[str, str | int | float | bool]:
        return {
            replace_surrogates(name): replace_surrogates(str(value))
            if self.as_text or isinstance(value, str)
            else value
            for name, value in row.items()
            if name not in used and name not in _RELATIONS and _is_metadata(value)
        }


def _first_understood(
    row: Row, fields: Iterable[str], read: Callable[[Any], _Value | None]
) -> tuple[_Value | None, str | None]:
    """The value of the first field that `read` understands, and the name of that field."""
    for field in fields:
        value = read(row[field]) if field in row else None
        if value is not None:
            return value, field
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


def read_text(row: Row, field: str) -> str:
    """The text of a row. Raises RowProblemError."""
    value = row.get(field)
    if value is None:
        raise RowProblemError(f"field `{field}` is missing")
    if not isinstance(value, str):
        raise RowProblemError(f"field `{field}` is no text")
    if not value.strip():
        raise RowProblemError(f"the text in `{field}` is empty")
    return replace_surrogates(value)


def replace_surrogates(text: str) -> str:
    """The text with `?` for lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def _first_available(guesses: Iterable[str], available: list[str]) -> str | None:
    return next((guess for guess in guesses if guess in available), None)
