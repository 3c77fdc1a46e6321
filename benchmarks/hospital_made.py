"""Folders as hospitals export them, with made notes of made patients: MIMIC-IV, OMOP, FHIR.

Every patient has a note, some have many; the texts are those of corpus.py, so that notes of one
patient are no more alike than others.
"""

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import corpus
import numpy as np


class MadeNote(NamedTuple):
    """A note: its number, its patient's number, and the text."""

    number: int
    patient: int
    text: str


def made_notes(size: int, patients: int, seed: int = 1) -> Iterator[MadeNote]:
    """Notes in an order that mixes patients, every patient with a note at least."""
    generator = np.random.default_rng(seed)
    more = (patients * generator.random(size) ** 2).astype(np.int64)
    owners = np.concatenate([np.arange(patients), more])[:size]
    generator.shuffle(owners)
    texts = corpus.notes(size, seed=seed, reports=corpus.case_reports())
    for number, (owner, text) in enumerate(zip(owners.tolist(), texts, strict=True)):
        yield MadeNote(number, owner, text)


def write_one_note(folder: Path, notes: Iterable[MadeNote], _: int) -> Path:
    """JSON lines in which every note is a patient: what the others are compared with."""
    with (folder / "notes.jsonl").open("w", encoding="utf-8") as out:
        for note in notes:
            row = {"_id": str(note.number), "text": note.text, "age": 50, "sex": "F"}
            out.write(json.dumps(row) + "\n")
    return folder / "notes.jsonl"


def write_mimic(folder: Path, notes: Iterable[MadeNote], patients: int) -> Path:
    """MIMIC-IV-Note's discharge table, packed, with hosp/patients."""
    (folder / "note").mkdir()
    (folder / "hosp").mkdir()
    names = ["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime"]
    rows = (
        [f"{n.patient}-DS-{n.number}", n.patient, "", "DS", 1, "2180-05-07 00:00:00", "", n.text]
        for n in notes
    )
    _write_packed(folder / "note" / "discharge.csv.gz", [*names, "text"], rows)
    people = (
        [number, "FM"[number % 2], 18 + number % 74, 2178, "2014 - 2016", ""]
        for number in range(patients)
    )
    names = ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"]
    _write_packed(folder / "hosp" / "patients.csv.gz", names, people)
    return folder


def write_omop(folder: Path, notes: Iterable[MadeNote], patients: int) -> Path:
    """OMOP's NOTE and PERSON as CSV."""
    with (folder / "note.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["note_id", "person_id", "note_date", "note_title", "note_text"])
        table.writerows([n.number, n.patient, "2024-03-01", "", n.text] for n in notes)
    with (folder / "person.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["person_id", "gender_concept_id", "year_of_birth"])
        table.writerows(
            [number, (8507, 8532)[number % 2], 1930 + number % 80] for number in range(patients)
        )
    return folder


def write_fhir(folder: Path, notes: Iterable[MadeNote], patients: int) -> Path:
    """DocumentReferences with inline text, and Patients, as NDJSON."""
    with (folder / "DocumentReference.ndjson").open("w", encoding="utf-8") as out:
        for note in notes:
            data = base64.b64encode(note.text.encode()).decode()
            attachment = {"contentType": "text/plain", "data": data}
            _write_line(
                out,
                resourceType="DocumentReference",
                id=f"d{note.number}",
                status="current",
                subject={"reference": f"Patient/{note.patient}"},
                date="2024-03-01T10:00:00Z",
                content=[{"attachment": attachment}],
            )
    with (folder / "Patient.ndjson").open("w", encoding="utf-8") as out:
        for number in range(patients):
            gender, birth = ("female", "male")[number % 2], f"{1930 + number % 80}-03-02"
            _write_line(out, resourceType="Patient", id=str(number), gender=gender, birthDate=birth)
    return folder


WRITERS: dict[str, Callable[[Path, Iterable[MadeNote], int], Path]] = {
    "one note a patient (JSONL)": write_one_note,
    "MIMIC-IV-Note": write_mimic,
    "OMOP": write_omop,
    "FHIR": write_fhir,
}


def _write_line(out: IO[str], **resource: Any) -> None:
    out.write(json.dumps(resource) + "\n")


def _write_packed(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with gzip.open(path, "wb", compresslevel=1) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        table = csv.writer(text)
        table.writerow(names)
        table.writerows(rows)
        text.flush()
        text.detach()
