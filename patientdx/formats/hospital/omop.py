"""The NOTE table of OMOP CDM 5.4, with age and sex from PERSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patientdx.formats.sources.row_source import PlainSource, Remarks

from .ages import age_at
from .tables import Person, Values, find_table, has_columns, open_notes, read_people

_COLUMNS = ("note_id", "person_id", "note_text")
_SEX_BY_CONCEPT = {8507: "M", 8532: "F"}


def omop_notes(folder: Path) -> Path | None:
    """The NOTE table of a folder of OMOP tables, if it is one."""
    path = find_table([folder], "note")
    return path if path is not None and has_columns(path, _COLUMNS) else None


@contextmanager
def open_omop_folder(folder: Path, notes: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes with the age at their date and the sex of the person. Raises InputError."""
    people = read_people(find_table([folder], "person"), "person_id", _person, remarks)

    def complete(note: Values) -> dict[str, Any]:
        person = people.get(note.text("person_id"), Person(None, ""))
        date = note.text("note_date") or note.text("note_datetime")
        return {"age": age_at(person.birth, date), "sex": person.sex}

    with open_notes([notes], complete, remarks) as source:
        yield source


def _person(values: Values) -> Person:
    concept = values.number("gender_concept_id")
    sex = _SEX_BY_CONCEPT.get(concept or 0) or values.text("gender_source_value")
    return Person(sex or None, values.text("birth_datetime") or _birth(values))


def _birth(values: Values) -> str:
    """Year, month and day of birth, as far as they are known."""
    year = values.number("year_of_birth")
    month, day = values.number("month_of_birth"), values.number("day_of_birth")
    if year is None:
        return ""
    parts = [f"{year:04}", *(f"{part:02}" for part in (month, day) if part)]
    return "-".join(parts if month else parts[:1])
