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
