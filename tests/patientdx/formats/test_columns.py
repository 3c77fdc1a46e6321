"""Which columns of a source hold what: known tables, names of any spelling, and doubt."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.errors import InputError
from patientdx.formats import SkippedRows, read_patients
from patientdx.formats.columns import NamedColumns, plain_name, resolve_columns
from patientdx.records import Patient

NOTE = "Fever and chills."


def table(tmp_path: Path, header: str, *rows: str) -> Path:
    path = tmp_path / "table.csv"
    stream = io.StringIO()
    csv.writer(stream).writerows([header.split(","), *(row.split("|") for row in rows)])
    path.write_text(stream.getvalue(), encoding="utf-8")
    return path


def objects(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ids(patients: list[Patient]) -> list[tuple[str, str, str]]:
    return [(patient.patient_id, patient.note_id, patient.date) for patient in patients]


def test_mimic_iv_note(tmp_path: Path) -> None:
    header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text"
    path = table(
        tmp_path, header,
        f"7-DS-1|7|8|DS|1|2180-05-07 00:00:00|2180-05-09 15:26:00|{NOTE}",
        f"7-DS-2|7|9|DS|2|2180-06-27 10:30:00||{NOTE}",
    )  # fmt: skip
    patients = list(read_patients(path))
    assert ids(patients) == [
        ("7", "7-DS-1", "2180-05-07T00:00:00"),
        ("7", "7-DS-2", "2180-06-27T10:30:00"),
    ]
    assert patients[0].metadata["charttime"] == "2180-05-07 00:00:00"
    assert patients[0].metadata["note_type"] == "DS"
    assert "subject_id" not in patients[0].metadata


def test_mimic_iii_noteevents_take_the_day_where_the_time_is_unknown(tmp_path: Path) -> None:
    header = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,DESCRIPTION,ISERROR,TEXT"
    path = table(
        tmp_path, header,
        f"1|70|170|2150-01-01||Discharge summary|Report||{NOTE}",
        f"2|70|170|2150-01-02|2150-01-02 08:00:00|Nursing|Report||{NOTE}",
    )  # fmt: skip
    patients = list(read_patients(path))
    assert ids(patients) == [("70", "1", "2150-01-01"), ("70", "2", "2150-01-02T08:00:00")]


def test_omop_notes(tmp_path: Path) -> None:
    header = "note_id,person_id,note_date,note_datetime,note_type_concept_id,note_title,note_text"
    path = table(tmp_path, header, f"1|42|2024-03-01||32831|Discharge|{NOTE}")
    (patient,) = read_patients(path)
    assert ids([patient]) == [("42", "1", "2024-03-01")]
    assert (patient.text, patient.title) == (NOTE, "")
    assert patient.metadata["note_title"] == "Discharge"


def test_patient_id_beside_note_id(tmp_path: Path) -> None:
    path = table(
        tmp_path, "patient_id,note_id,text", f"17|1|{NOTE}", f"17|2|{NOTE}", f"18|3|{NOTE}"
    )
    assert ids(list(read_patients(path))) == [("17", "1", ""), ("17", "2", ""), ("18", "3", "")]


def test_the_patients_id_named_as_the_id_stays_the_patients(tmp_path: Path) -> None:
    path = table(tmp_path, "note_id,subject_id,text", f"a|7|{NOTE}", f"b|7|{NOTE}")
    named = list(read_patients(path, id_field="subject_id"))
    assert ids(named) == [("7", "a", ""), ("7", "b", "")]


def test_a_column_of_any_name_may_be_the_patients(tmp_path: Path) -> None:
    path = table(tmp_path, "nr,Fall,text", f"a|7|{NOTE}", f"b|7|{NOTE}")
    named = list(read_patients(path, id_field="nr", patient_field="fall"))
    assert ids(named) == [("7", "a", ""), ("7", "b", "")]


@pytest.mark.parametrize("name", ["Patient ID", "patient_id", "PATIENT-ID", "patientId"])
def test_case_and_separators_do_not_matter(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, f"{name},Note ID,Note,AGE,Sex", f"17|1|{NOTE}|50|F")
    (patient,) = read_patients(path, id_field="note_id")
    assert ids([patient]) == [("17", "1", "")]
    assert (patient.age_years, patient.sex, patient.derived) == (50.0, "F", ())


def test_a_surname_is_not_the_note(tmp_path: Path) -> None:
    path = table(tmp_path, "id,patient,note", f"1|Smith|{NOTE}")
    (patient,) = read_patients(path)
    assert (patient.text, patient.metadata) == (NOTE, {"patient": "Smith"})
    with pytest.raises(InputError, match="which field is the note"):
        list(read_patients(table(tmp_path, "id,patient", "1|Smith")))


def test_named_columns_of_age_sex_and_date(tmp_path: Path) -> None:
    path = table(tmp_path, "id,text,Lebensjahre,Anrede,am", f"1|{NOTE}|50|w|31.12.2024")
    (patient,) = read_patients(path, age_field="lebensjahre", sex_field="Anrede", date_field="am")
    assert (patient.age_years, patient.sex, patient.date) == (50.0, "F", "2024-12-31")


AMBIGUOUS = [
    ("id,text,note", "--text-field text or --text-field note"),
    ("id,note_id,text", "--id-field id or --id-field note_id"),
    ("id,patient_id,text", "--patient-field patient_id where"),
    ("note_id,subject_id,person_id,text", "--patient-field subject_id or"),
    ("subject_id,person_id,text", "--id-field subject_id or --id-field person_id"),
    ("id,text,age,Alter", "--age-field age or --age-field Alter"),
    ("id,text,sex,gender", "--sex-field sex or --sex-field gender"),
    ("id,text,charttime,note_date", "--date-field charttime or --date-field note_date"),
    ("id,text,Title,title", "--title-field Title or --title-field title"),
]


@pytest.mark.parametrize(("header", "choices"), AMBIGUOUS)
def test_several_candidates_are_refused_with_the_choices(
    tmp_path: Path, header: str, choices: str
) -> None:
    path = table(tmp_path, header, "|".join("x" for _ in header.split(",")))
    with pytest.raises(InputError) as caught:
        list(read_patients(path, skip_bad=SkippedRows()))
    assert choices in (caught.value.hint or "")
    assert caught.value.message.startswith(f"{path}:1: ")


def test_the_choices_solve_the_doubt(tmp_path: Path) -> None:
    path = table(tmp_path, "id,patient_id,text", f"1|17|{NOTE}", f"2|17|{NOTE}")
    assert ids(list(read_patients(path, patient_field="patient_id")))[1] == ("17", "2", "")
    assert ids(list(read_patients(path, patient_field="id")))[1] == ("2", "", "")


def test_json_rows_may_lack_age_sex_date_and_title(tmp_path: Path) -> None:
    path = objects(
        tmp_path,
        {"_id": "1", "text": NOTE},
        {"_id": "2", "text": NOTE, "Age": 50, "gender": "F", "date": "2024-03-01", "title": "T"},
        {"_id": "3", "text": NOTE, "Jahre": 60},
    )
    read = list(read_patients(path, age_field="Jahre"))
    assert [(p.title, p.age_years, p.sex, p.date) for p in read] == [
        ("", None, None, ""), ("T", None, "F", "2024-03-01"), ("", 60.0, None, ""),
    ]  # fmt: skip


def test_a_patients_id_that_the_first_row_lacks_is_not_passed_over(tmp_path: Path) -> None:
    path = objects(
        tmp_path, {"note_id": "1", "text": NOTE}, {"note_id": "2", "subject_id": 7, "text": NOTE}
    )
    with pytest.raises(InputError, match="`subject_id` is missing in the first row"):
        list(read_patients(path))


def test_a_title_alone_is_a_document(tmp_path: Path) -> None:
    path = objects(tmp_path, {"_id": "1", "title": "Cystic fibrosis", "text": ""})
    (patient,) = read_patients(path)
    assert patient.full_text.strip() == "Cystic fibrosis"


names = st.text(st.sampled_from("aB9_- .é"), max_size=6)


@given(st.lists(names, max_size=6, unique=True), st.builds(NamedColumns, names, names))
def test_columns_are_of_the_source(available: list[str], user: NamedColumns) -> None:
    wanted = {plain_name(name) or name for name in (user.id, user.text) if name is not None}
    try:
        columns = resolve_columns(available, user, sparse=False)
    except ValueError:
        present = [plain_name(name) or name for name in available]
        assert any(present.count(name) != 1 for name in wanted)
    else:
        assert {columns.id, columns.text} <= set(available)
        assert {plain_name(name) or name for name in (columns.id, columns.text)} == wanted
