"""Patients out of every form of source."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import SHARED

from patientdx.errors import InputError
from patientdx.formats import SkippedRows, corpus_file, read_patients
from patientdx.records import Patient

NOTE = "A 30-year-old woman had a cough."
V1 = {
    "patient_id": "0", "patient_uid": "77-1", "PMID": "9", "file_path": "a/b.xml",
    "title": "An article", "patient": NOTE, "age": [[1.0, "year"], [3.0, "month"]], "gender": "M",
    "relevant_articles": {"9": 1}, "similar_patients": {"78-1": 2},
}  # fmt: skip
V2_NAMES = [
    "patient_id",
    "patient_uid",
    "PMID",
    "file_path",
    "title",
    "text",
    "age",
    "gender",
    "pub_date",
]

Make = Callable[[str, str], Path]


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(names: list[str], *rows: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([names, *rows])
    return stream.getvalue()


PMC_PATIENT = Patient(
    "77-1", NOTE, age_years=1.25, sex="M",
    metadata={"patient_id": "0", "PMID": "9", "file_path": "a/b.xml", "title": "An article"},
)  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
def test_pmc_patients_json(make: Make, indent: int | None) -> None:
    path = make("PMC-Patients.json", json.dumps([V1, V1 | {"patient_uid": "77-2"}], indent=indent))
    first, second = read_patients(path)
    assert first == PMC_PATIENT
    assert second.patient_id == "77-2"


def test_pmc_patients_v1_csv(make: Make) -> None:
    path = make("V1.csv", as_csv(list(V1), [str(value) for value in V1.values()]))
    assert list(read_patients(path)) == [PMC_PATIENT]


def test_pmc_patients_v2_csv(make: Make) -> None:
    row = [
        "5",
        "77-1",
        "9",
        "a.xml",
        "An article",
        'Two\nlines, "quoted"',
        "[[60.0, 'year']]",
        "F",
        "2022-06-30",
    ]
    (patient,) = read_patients(make("V2.csv", as_csv(V2_NAMES, row)))
    assert patient.text == 'Two\nlines, "quoted"'
    assert (patient.age_years, patient.sex, patient.title, patient.derived) == (60.0, "F", "", ())
    assert patient.metadata["pub_date"] == "2022-06-30"
    assert patient.metadata["title"] == "An article"


def test_csv_fields_may_be_longer_than_the_csv_module_expects(make: Make) -> None:
    note = "cough " * 60_000
    (patient,) = read_patients(make("long.csv", as_csv(["id", "text"], ["1", note])))
    assert patient.text == note


@pytest.mark.parametrize(
    "name",
    [
        "corpus.jsonl",
        "PPR/corpus.jsonl",
        "PPR/PPR_corpus.jsonl",
        "patient2patient_retrieval/PPR_corpus.jsonl",
        "PPR_corpus.jsonl",
    ],
)
def test_folders_of_beir_and_recds(make: Make, tmp_path: Path, name: str) -> None:
    path = make(name, jsonl({"_id": "1-1", "title": "", "text": NOTE}))
    (patient,) = read_patients(tmp_path)
    assert patient == Patient("1-1", NOTE, age_years=30.0, sex="F", derived=("age_years", "sex"))
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert list(read_patients(tmp_path)) == [patient]


def test_a_folder_without_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no corpus") as caught:
        list(read_patients(tmp_path))
    assert "PPR/corpus.jsonl" in (caught.value.hint or "")


def test_beir_rows_keep_title_and_scalars(make: Make) -> None:
    row = {"_id": 7, "title": "T", "text": "He fell.", "ward": "B", "n": 3, "ok": True, "x": None,
           "list": [1], "nested": {"a": 1}, "nan": float("nan"), "age": 61,
           "sex": "male"}  # fmt: skip
    (patient,) = read_patients(make("c.jsonl", jsonl(row)))
    assert patient == Patient("7", "He fell.", "T", 61.0, "M", {"ward": "B", "n": 3, "ok": True})
    assert patient.full_text == "T\nHe fell."


def test_a_field_that_is_not_understood_stays_metadata(make: Make) -> None:
    (patient,) = read_patients(
        make("c.jsonl", jsonl({"id": "1", "text": NOTE, "age": "adult", "gender": "?"}))
    )
    assert patient.metadata == {"age": "adult", "gender": "?"}
    assert (patient.age_years, patient.sex, patient.derived) == (30.0, "F", ("age_years", "sex"))


def test_only_what_is_missing_is_read_from_the_note(make: Make) -> None:
    (patient,) = read_patients(make("c.jsonl", jsonl({"id": "1", "text": NOTE, "sex": "M"})))
    assert (patient.age_years, patient.sex, patient.derived) == (30.0, "M", ("age_years",))


@pytest.mark.parametrize("id_name", ["_id", "id", "patient_uid", "patient_id", "doc_id"])
@pytest.mark.parametrize("text_name", ["text", "note", "contents", "NOTE_TEXT"])
def test_fields_are_recognised(make: Make, id_name: str, text_name: str) -> None:
    rows = as_csv([id_name, "z", text_name], ["1", "y", NOTE])
    (patient,) = read_patients(make("plain.csv", rows))
    assert (patient.patient_id, patient.text, patient.metadata) == ("1", NOTE, {"z": "y"})


def test_fields_are_named(make: Make) -> None:
    path = make("t.tsv", "stay\tsummary\thead\n1\tHe, fell.\tH\n")
    (patient,) = read_patients(path, id_field="stay", text_field="summary", title_field="head")
    assert (patient.patient_id, patient.text, patient.title) == ("1", "He, fell.", "H")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "which field is the id"),
        ({"id_field": "nr"}, "which field is the note"),
        ({"id_field": "no"}, "no field `no`"),
    ],
)
@pytest.mark.parametrize("skip", [None, SkippedRows()])
def test_fields_that_cannot_be_guessed(
    make: Make, options: dict[str, Any], problem: str, skip: SkippedRows | None
) -> None:
    path = make("plain.csv", "nr,words\n1,x\n")
    with pytest.raises(InputError, match=problem) as caught:
        list(read_patients(path, skip_bad=skip, **options))
    assert "nr, words" in (caught.value.hint or "")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (
        jsonl({"_id": "1", "text": NOTE}),
        f"id,text\n1,{NOTE}\n",
        json.dumps([{"id": "1", "text": NOTE}]),
    ):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))
        assert [patient.patient_id for patient in read_patients("-")] == ["1"]


words = st.text(st.characters(exclude_categories=("Cs", "Cc"))).filter(str.strip)
ids = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda t: t.isprintable() and t == t.strip() and t
)
patients = st.builds(
    Patient, ids, words, title=words | st.just(""), age_years=st.floats(0, 120),
    sex=st.sampled_from("FM"),
    metadata=st.dictionaries(
        st.sampled_from(["ward", "pmid", "ü"]), words | st.integers() | st.booleans()
    ),
)  # fmt: skip


def row_of(patient: Patient) -> dict[str, Any]:
    row = {"_id": patient.patient_id, "title": patient.title, "text": patient.text}
    return row | {"age": patient.age_years, "sex": patient.sex} | dict(patient.metadata)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(patients, unique_by=lambda patient: patient.patient_id), st.booleans(), st.booleans()
)
def test_json_round_trip(
    make: Make, given_patients: list[Patient], as_list: bool, ascii_only: bool
) -> None:
    rows = [row_of(patient) for patient in given_patients]
    dumped = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    content = f"[{','.join(dumped)}]" if as_list else "".join(f"{row}\n" for row in dumped)
    path = make("round.json" if as_list else "round.jsonl", content)
    assert list(read_patients(path)) == given_patients


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(patients, unique_by=lambda patient: patient.patient_id))
def test_csv_round_trip(make: Make, given_patients: list[Patient]) -> None:
    rows = [[p.patient_id, p.title, p.text, str(p.age_years), p.sex or ""] for p in given_patients]
    path = make("round.csv", as_csv(["_id", "title", "text", "age", "sex"], *rows))
    columns = [[p.patient_id, p.title, p.text, p.sex or ""] for p in read_patients(path)]
    assert columns == [[row[0], row[1], row[2], row[4]] for row in rows]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("phenopackets", 7545),
        ("pmc_plus_e3c", 10514),
        ("nfcorpus", 3395),
        ("pmc_patients_sample", 500),
    ],
)
def test_shared_folders(folder: str, count: int) -> None:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"shared data `{folder}` is absent")
    patients = list(read_patients(SHARED / folder))
    assert len(patients) == len({patient.patient_id for patient in patients}) == count
    with gzip.open(corpus_file(SHARED / folder), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert [(p.patient_id, p.title, p.text) for p in patients] == [
        (r["_id"], r["title"], r["text"]) for r in rows
    ]


@pytest.mark.shared
def test_shared_pmc_patients_csv() -> None:
    path = SHARED / "pmc_patients_sample" / "PMC-Patients-sample.csv"
    if not path.is_file():
        pytest.skip("the PMC-Patients sample is absent")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    patients = list(read_patients(path))
    assert [(p.patient_id, p.text, p.sex, p.title, p.derived) for p in patients] == [
        (row["patient_uid"], row["text"], row["gender"], "", ()) for row in rows
    ]
    columns = ("patient_id", "PMID", "file_path", "title", "pub_date")
    assert [p.metadata for p in patients] == [{name: row[name] for name in columns} for row in rows]
    assert all(patient.age_years is not None for patient in patients)
