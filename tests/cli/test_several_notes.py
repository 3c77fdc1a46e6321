"""Patients with several notes on the command line: counted apart, found once, deleted whole."""

import json
from pathlib import Path

import pytest
from command_line import patientdx, run_successfully

DISCHARGE = """note_id,subject_id,charttime,text
11-DS-1,11,2180-05-06,ascites and jaundice after years of alcohol
11-DS-2,11,2180-07-01,"ascites and jaundice again, alcohol, edema"
12-DS-1,12,2181-01-01,jaundice with gallstones
13-DS-1,13,2182-02-02,cough and a new edema
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source, into = tmp_path / "discharge.csv", tmp_path / "index"
    source.write_text(DISCHARGE)
    outcome = run_successfully("index", "build", source, "--into", into)
    assert f"3 patients, 4 notes in {into}" in outcome.err
    return into


def test_patients_and_notes_are_counted_apart(folder: Path) -> None:
    facts = run_successfully("index", "info", "--index", folder, "--json").json
    assert (facts["patients"], facts["notes"]) == (3, 4)
    assert run_successfully("index", "info", "--index", folder, "--ids").lines == ["11", "12", "13"]
    assert (
        "3 patients, 4 notes, every" in run_successfully("index", "verify", "--index", folder).err
    )
    compacted = run_successfully("index", "compact", "--index", folder)
    assert "3 patients, 4 notes in one segment" in compacted.err


def test_a_patient_is_one_hit(folder: Path) -> None:
    hits = run_successfully("search", "ascites jaundice", "--index", folder, "--quiet").lines
    assert hits == ["11", "12"]


def test_a_patient_is_not_similar_to_themselves(folder: Path) -> None:
    hits = run_successfully("similar", "11", "--index", folder, "--quiet").lines
    assert hits == ["12", "13"]


def test_a_patient_and_a_note_are_deleted(folder: Path) -> None:
    outcome = run_successfully("index", "delete", "--note", "11-DS-1", "--index", folder)
    assert "deleted 1 note; 3 patients left" in outcome.err
    outcome = run_successfully("index", "delete", "11", "--index", folder)
    assert "deleted 1 patient; 2 patients left" in outcome.err


def test_all_notes_of_a_patient_are_deleted(folder: Path) -> None:
    outcome = run_successfully("index", "delete", "11", "--index", folder)
    assert "deleted 1 patient, 2 notes; 2 patients left" in outcome.err


def test_a_further_note_is_added_and_a_known_one_refused(folder: Path) -> None:
    row = {"note_id": "12-DS-2", "subject_id": "12", "text": "jaundice gone"}
    command = ("index", "add", "-", "--index", folder)
    assert "3 patients, 5 notes" in run_successfully(*command, stdin=json.dumps(row)).err
    refused = patientdx(*command, stdin=json.dumps(row))
    assert (refused.code, refused.out) == (1, "")
    assert "error: note `12-DS-2` is in the index already" in refused.err
    updated = run_successfully(*command, "--update", stdin=json.dumps(row))
    assert f"3 patients, 4 notes in {folder}" in updated.err


def test_a_hit_names_its_best_note_and_how_many_match(folder: Path) -> None:
    command = ("search", "ascites edema jaundice", "--index", folder)
    first, second, third = run_successfully(*command, "--json").json["hits"]
    assert (first["patient_id"], first["note_id"], first["notes_matched"]) == ("11", "11-DS-2", 2)
    assert (first["date"], first["dates"]) == ("2180-07-01", ["2180-05-06", "2180-07-01"])
    assert {hit["patient_id"] for hit in (second, third)} == {"12", "13"}
    assert {hit["notes_matched"] for hit in (second, third)} == {1}
    lines = run_successfully(*command).lines
    shown = "best note 11-DS-2 of 2180-07-01 (2 notes matched, 2180-05-06 to 2180-07-01)"
    assert lines[0].startswith("  1. 11  ")
    assert lines[0].endswith(shown)
    assert "edema" in lines[1]
    rows = run_successfully(*command, "--tsv").lines
    assert rows[0].split("\t")[-3:] == ["note_id", "notes_matched", "date"]
    assert rows[1].split("\t")[-3:] == ["11-DS-2", "2", "2180-07-01"]


def test_hits_are_notes_by_option(folder: Path) -> None:
    command = ("search", "ascites", "--by", "note", "--index", folder)
    assert run_successfully(*command, "--quiet").lines == ["11-DS-2", "11-DS-1"]
    hits = run_successfully(*command, "--json").json["hits"]
    assert [hit["patient_id"] for hit in hits] == ["11", "11"]
    assert "patient 11  2180-07-01" in run_successfully(*command).lines[0]
    refused = patientdx(*command, "--pool", "sum:2")
    assert (refused.code, refused.out) == (2, "")
    unknown = patientdx("search", "ascites", "--by", "stay", "--index", folder)
    assert (unknown.code, unknown.out) == (2, "")
    assert "--by is patient or note" in unknown.err


def test_scores_of_notes_are_summed_by_option(folder: Path) -> None:
    command = ("search", "jaundice", "--index", folder)
    best = run_successfully(*command, "--json").json["hits"]
    by_note = run_successfully(*command, "--by", "note", "--json").json["hits"]
    summed = run_successfully(*command, "--pool", "sum:2", "--json").json["hits"]
    assert best[0]["patient_id"] == "12"
    assert summed[0]["patient_id"] == "11"
    own = sum(hit["score"] for hit in by_note if hit["patient_id"] == "11")
    assert summed[0]["score"] == pytest.approx(own, abs=1e-6)
    unknown = patientdx(*command, "--pool", "mean")
    assert (unknown.code, unknown.out) == (1, "")
    assert "`mean` is no way to score a patient by notes" in unknown.err


def test_one_note_is_a_query_by_option(folder: Path) -> None:
    hits = run_successfully("similar", "--note", "11-DS-1", "--index", folder, "--quiet").lines
    assert hits == ["12"]
    by_note = ("similar", "11", "--by", "note", "--index", folder, "--quiet")
    assert set(run_successfully(*by_note).lines) == {"12-DS-1", "13-DS-1"}
    both = patientdx("similar", "11", "--note", "11-DS-1", "--index", folder)
    assert (both.code, both.out) == (2, "")
    assert "error: name a patient or a note, not both" in both.err
    unknown = patientdx("similar", "--note", "11", "--index", folder)
    assert (unknown.code, unknown.out) == (1, "")
    assert "no note `11` in this index" in unknown.err


@pytest.mark.parametrize("system", ["phrases", "rm3", "rocchio"])
@pytest.mark.parametrize("fuse", [None, "rrf", "min-max"])
def test_every_system_lists_a_patient_once(folder: Path, system: str, fuse: str | None) -> None:
    extra = ("--fuse", fuse) if fuse and system != "phrases" else ()
    command = ("search", "ascites jaundice", "--expand", system, *extra, "--index", folder)
    hits = run_successfully(*command, "--json").json["hits"]
    assert [hit["patient_id"] for hit in hits][:2] == ["11", "12"]
    assert len({hit["patient_id"] for hit in hits}) == len(hits)
    similar = ("similar", "11", "--expand", system, *extra, "--index", folder, "--quiet")
    assert "11" not in run_successfully(*similar).lines


def test_runs_and_judgements_speak_of_patients(folder: Path, tmp_path: Path) -> None:
    queries, qrels, run = (tmp_path / name for name in ("queries.tsv", "qrels.txt", "x.run"))
    queries.write_text("q1\tascites\nq2\tgallstones\n")
    qrels.write_text("q1 0 11 1\nq2 0 12 1\n")
    files = ("--queries", queries, "--qrels", qrels)
    command = ("evaluate-ir", "--index", folder, *files, "--measures", "RR,P@1", "--format", "json")
    outcome = run_successfully(*command, "--write-run", run)
    assert "1.0" in outcome.out
    assert [line.split()[2] for line in run.read_text().splitlines()] == ["11", "12"]


def test_similar_without_a_patient_or_note_says_so_before_an_index_is_opened() -> None:
    outcome = patientdx("similar")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: no patient named: PATIENT or --note is missing\n")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("charttime>3", "4 notes whose `charttime` is not a number"),
        (
            "charttime>=2180-05-06T10",
            "4 notes whose `charttime` is not a date as precise as 2180-05-06T10",
        ),
        ("text_length>2180", ""),
        ("ward=2180..2190", "2 notes whose `ward` is not a number or a date"),
        ("ward=..2190-02", "2 notes whose `ward` is not a date as precise as 2190-02"),
    ],
)
def test_what_a_condition_cannot_compare_is_named(
    condition: str, reason: str, tmp_path: Path
) -> None:
    fields = {"charttime": "2180-05-06", "text_length": 7}
    rows = [
        {"subject_id": i, "note_id": f"{i}-{n}", "text": "fever", **fields, "ward": ward}
        for i, n, ward in (("1", 1, "ICU"), ("1", 2, "HDU"), ("2", 1, ""), ("2", 2, ""))
    ]
    source = tmp_path / "notes.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_successfully("index", "build", source, "--into", tmp_path / "index")
    shown = patientdx(
        "search", "fever", "--index", tmp_path / "index", "--where", condition, "--json"
    )
    assert shown.code == 0
    left_out = [line for line in shown.err.splitlines() if line.startswith("left out ")]
    assert left_out == ([f"left out {reason}"] if reason else [])
