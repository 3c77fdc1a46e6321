"""The notes of MIMIC: IV's discharge and radiology tables, III's NOTEEVENTS, with their patients.

MIMIC-IV says how old patients were in an anchor year, and 91 of all who were older than 89.
MIMIC-III has dates of birth, 300 years back for patients older than 89. Both are read as "older
than 89 then", which is a lower bound of the age at the date of a note.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patientdx.formats.sources.row_source import PlainSource, Remarks

from .ages import age_at
from .tables import Person, Values, find_table, has_columns, open_notes, read_people

_NOTES_IV = ("discharge", "radiology")
_COLUMNS_IV = ("note_id", "subject_id", "text")
_COLUMNS_III = ("row_id", "subject_id", "text")
_OLDEST = 89  # years: the data hide the age of older patients
_SHIFTED = 200  # years: ages above come from dates of birth that were moved back


def mimic_iv_notes(folder: Path) -> list[Path]:
    """The tables of notes of MIMIC-IV-Note in a folder or in its folder `note`."""
    tables = [find_table([folder, folder / "note"], name) for name in _NOTES_IV]
    return [path for path in tables if path is not None and has_columns(path, _COLUMNS_IV)]


def mimic_iii_notes(folder: Path) -> Path | None:
    """MIMIC-III's NOTEEVENTS in a folder."""
    path = find_table([folder], "noteevents")
    return path if path is not None and has_columns(path, _COLUMNS_III) else None


@contextmanager
def open_mimic_iv(folder: Path, notes: list[Path], remarks: Remarks) -> Iterator[PlainSource]:
    """The notes with the ages and sexes of hosp/patients, where the folder or its parent has it."""
    table = find_table([folder / "hosp", folder, folder.parent / "hosp"], "patients")
    people = read_people(table, "subject_id", _anchored, remarks)

    def complete(note: Values) -> dict[str, Any]:
        person = people.get(note.text("subject_id"), Person(None, ""))
        return {"age": _age_by_anchor(person.birth, note.text("charttime")), "sex": person.sex}

    with open_notes(notes, complete, remarks) as source:
        yield source


@contextmanager
def open_mimic_iii(folder: Path, notes: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes with the ages and sexes of PATIENTS.

    Where CHARTDATE is missing, the age is that at the admission, by ADMISSIONS.
    """
    people = read_people(find_table([folder], "patients"), "subject_id", _born, remarks)
    table = find_table([folder], "admissions")
    admissions = read_people(table, "hadm_id", _admitted, remarks)

    def complete(note: Values) -> dict[str, Any]:
        person = people.get(note.text("subject_id"), Person(None, ""))
        admitted = admissions.get(note.text("hadm_id"), Person(None, ""))
        age = age_at(person.birth, note.text("chartdate") or admitted.birth)
        shifted = age is not None and age > _SHIFTED
        return {"age": f">{_OLDEST}" if shifted else age, "sex": person.sex}

    with open_notes([notes], complete, remarks) as source:
        yield source


def _anchored(values: Values) -> Person:
    """A patient of MIMIC-IV; anchor age and year stand for the birth."""
    birth = f"{values.text('anchor_age')}@{values.text('anchor_year')}"
    return Person(values.text("gender") or None, birth)


def _age_by_anchor(anchor: str, charttime: str) -> int | str | None:
    """The age in the year of a note, ">N" for patients of whom only a lower bound is known."""
    age, _, year = anchor.partition("@")
    if not (age.isdecimal() and year.isdecimal() and charttime[:4].isdecimal()):
        return None
    passed = int(charttime[:4]) - int(year)
    years = min(int(age), _OLDEST) + passed
    if years < 0:
        return None
    return f">{years}" if int(age) > _OLDEST else years


def _born(values: Values) -> Person:
    return Person(values.text("gender") or None, values.text("dob"))


def _admitted(values: Values) -> Person:
    return Person(None, values.text("admittime"))
