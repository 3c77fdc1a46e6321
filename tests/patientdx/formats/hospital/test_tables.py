"""Patients out of the tables of OMOP, MIMIC-IV-Note and MIMIC-III."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import small_hospital as hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import LeftOut, SkippedRows, read_patients
from patientdx.formats.sources.opening import open_source
from patientdx.formats.sources.row_source import Remarks

Expected = Mapping[str, tuple[str, Any, Any]]


def joined(source: Path, note_id: str, patient_id: str) -> dict[str, tuple[str, Any, Any]]:
    """note -> (patient, age, sex) as the rows have them."""
    notes = {}
    with open_source(source, Remarks()) as rows:
        for _, row in rows:
            notes[str(row[note_id])] = (str(row[patient_id]), row["age"], row["sex"])
    return notes


def check(notes: Expected, expected: Expected) -> None:
    assert notes.keys() == expected.keys()
    for note, (patient_id, age, sex) in expected.items():
        exact = pytest.approx(age) if isinstance(age, float) else age
        assert notes[note] == (patient_id, exact, sex), note


@pytest.mark.parametrize("form", [".csv", ".csv.gz", ".parquet"])
def test_omop(tmp_path: Path, form: str) -> None:
    if form == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    folder = hospital.write_omop(tmp_path, form)
    check(joined(folder, "note_id", "person_id"), hospital.OMOP_EXPECTED)
    notes = {note.document_id: note for note in read_patients(folder)}
    assert notes["1"].text == "Cirrhosis with ascites."
    assert notes["1"].patient_id == notes["2"].patient_id == "42"
    assert (notes["1"].date, notes["2"].date) == ("2024-03-01", "2024-04-11T10:00:00")
    assert (notes["3"].age_years, notes["3"].sex, notes["3"].derived) == (64.0, "M", ())


def test_mimic_iv(tmp_path: Path) -> None:
    folder = hospital.write_mimic_iv(tmp_path)
    check(joined(folder, "note_id", "subject_id"), hospital.MIMIC_IV_EXPECTED)
    check(joined(folder / "note", "note_id", "subject_id"), hospital.MIMIC_IV_EXPECTED)
    notes = {note.document_id: note for note in read_patients(folder)}
    assert notes["101-DS-2"].text == 'Ascites\n"again".'
    assert (notes["101-DS-2"].patient_id, notes["101-DS-2"].age_years) == ("101", 55.0)
    assert notes["102-RR-4"].metadata["note_type"] == "RR"
    # Older than 89 in 2158, so more than 81 in 2150.
    assert (notes["102-RR-4"].age_years, notes["102-RR-4"].age_until) == (82.0, 120.0)


def test_mimic_iii_without_its_errors(tmp_path: Path) -> None:
    folder = hospital.write_mimic_iii(tmp_path)
    check(joined(folder, "ROW_ID", "SUBJECT_ID"), hospital.MIMIC_III_EXPECTED)
    left_out = LeftOut()
    notes = {note.document_id: note for note in read_patients(folder, left_out=left_out)}
    assert (notes["3"].patient_id, notes["3"].age_years, notes["3"].sex) == ("71", 60.0, "M")
    assert (notes["4"].age_years, notes["4"].age_until) == (90.0, 120.0)
    assert left_out.counts == {"notes marked as errors in `ISERROR`": 1}


@pytest.mark.parametrize("form", [".csv", ".csv.gz", ".parquet"])
def test_errors_are_left_out_of_noteevents_alone(tmp_path: Path, form: str) -> None:
    if form == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
        rows = [[*row[:9], str(row[9]), row[10]] for row in hospital.NOTEEVENTS[1]]
        hospital.write_table(tmp_path / "events", (hospital.NOTEEVENTS[0], rows), form)
    else:
        hospital.write_table(tmp_path / "events", hospital.NOTEEVENTS, form)
    left_out = LeftOut()
    notes = list(read_patients(tmp_path / f"events{form}", left_out=left_out))
    assert [note.document_id for note in notes] == ["1", "3", "4", "5"]
    assert left_out.counts == {"notes marked as errors in `ISERROR`": 1}


MAKERS: list[tuple[Callable[[Path], Path], str]] = [
    (hospital.write_omop, "person.csv"),
    (hospital.write_mimic_iv, "hosp/patients.csv.gz"),
    (hospital.write_mimic_iii, "PATIENTS.csv"),
]


@pytest.mark.parametrize(("write", "people"), MAKERS)
def test_notes_without_the_table_of_patients(
    tmp_path: Path, write: Callable[[Path], Path], people: str
) -> None:
    folder = write(tmp_path / "x")
    (folder / people).unlink()
    notes = list(read_patients(folder))
    assert len(notes) >= 4
    assert all(note.age_years is None for note in notes)


def test_tables_of_other_columns_are_no_notes(tmp_path: Path) -> None:
    (tmp_path / "note.csv").write_text("id,words\n1,fever\n")
    with pytest.raises(InputError, match="there is no corpus in this folder"):
        list(read_patients(tmp_path))
    (tmp_path / "a.txt").write_text("fever")
    assert [note.text for note in read_patients(tmp_path)] == ["fever"]


def test_a_defective_row_is_named_with_its_table(tmp_path: Path) -> None:
    folder = hospital.write_mimic_iv(tmp_path)
    names, rows = hospital.RADIOLOGY
    again = [hospital.DISCHARGE[1][0], *rows]
    hospital.write_table(folder / "note" / "radiology", (names, again), ".csv.gz")
    with pytest.raises(InputError, match=r"radiology\.csv\.gz:2: id `101-DS-1` appeared"):
        list(read_patients(folder))
    skip = SkippedRows()
    assert len(list(read_patients(folder, skip_bad=skip))) == 5
    assert skip.count == 1


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    table=st.sampled_from(["note.csv", "person.csv"]),
    data=st.binary(max_size=60) | st.text('1,"\n2.0-:F', max_size=60).map(str.encode),
    keeps_header=st.booleans(),
    skips=st.booleans(),
)
def test_any_bytes_give_patients_or_a_sentence(
    tmp_path: Path, table: str, data: bytes, keeps_header: bool, skips: bool
) -> None:
    (tmp_path / "note.csv").write_text("note_id,person_id,note_date,note_text\n1,2,2024-01-01,x\n")
    header = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth\n"
    (tmp_path / "person.csv").write_text(header)
    path = tmp_path / table
    path.write_bytes((path.read_bytes() if keeps_header else b"") + data)
    try:
        patients = list(read_patients(tmp_path, skip_bad=SkippedRows() if skips else None))
        fine = all(patient.patient_id and patient.text for patient in patients)
    except PatientDxError as error:
        fine = error.message.startswith(str(tmp_path))
    assert fine
