"""Evaluation by patient, by note and by pools of notes equals pooling of the run of notes."""

import json
from pathlib import Path

import pytest
from command_line import patientdx, run_successfully

NOTES = (
    ("7", "7-1", "ascites and jaundice"),
    ("7", "7-2", "jaundice, ascites, cough"),
    ("8", "8-1", "jaundice jaundice fever"),
    ("9", "9-1", "fever and ascites"),
    ("9", "9-2", "cough, fever"),
    ("9", "9-3", "fever, jaundice"),
)
OWNERS = {note: patient for patient, note, _ in NOTES}
QUERIES = {"q1": "ascites jaundice", "q2": "fever cough"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [dict(zip(("subject_id", "note_id", "text"), note, strict=True)) for note in NOTES]
    queries = [{"_id": i, "text": text} for i, text in QUERIES.items()]
    for name, lines in (("notes.jsonl", rows), ("queries.jsonl", queries)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "patients.tsv").write_text("q1 0 7 1\nq1 0 9 1\nq2 0 9 1\nq2 0 8 1\n")
    (tmp_path / "of-notes.tsv").write_text("q1 0 7-2 1\nq2 0 9-2 1\nq2 0 8-1 1\n")
    run_successfully("index", "build", tmp_path / "notes.jsonl", "--into", tmp_path / "index")
    return tmp_path


def evaluate(folder: Path, qrels: str, *options: object) -> tuple[str, list[list[str]], str]:
    """The JSON of an evaluation, its run, and what it said."""
    run = folder / "run.trec"
    outcome = run_successfully(
        *("evaluate-ir", "--index", folder / "index", "--queries", folder / "queries.jsonl"),
        *("--qrels", folder / qrels, "--write-run", run, "--force", "--format", "json", *options),
    )
    return outcome.out, [line.split() for line in run.read_text().splitlines()], outcome.err


@pytest.mark.parametrize("system", ["bm25", "phrases", "rrf(bm25,rm3)"])
@pytest.mark.parametrize(("pool", "best"), [("max", 1), ("sum:2", 2), ("sum:9", 9)])
def test_patients_are_ranked_by_their_pooled_notes(
    system: str, pool: str, best: int, folder: Path
) -> None:
    options = ("--system", system)
    report, run, _ = evaluate(folder, "patients.tsv", *options, "--pool", pool)
    assert (pool in report) == (pool != "max")
    suffix = "" if pool == "max" else f"-by-{pool}"
    assert {line[5] for line in run} == {f"patientdx-{system}{suffix}"}
    if system != "bm25":
        assert {line[2] for line in run} <= set(OWNERS.values())
        return
    _, notes, _ = evaluate(folder, "of-notes.tsv", *options, "--by", "note")
    for query_id in QUERIES:
        scores: dict[str, list[float]] = {}
        for line in notes:
            if line[0] == query_id:
                scores.setdefault(OWNERS[line[2]], []).append(float(line[4]))
        pooled = {i: sum(sorted(own, reverse=True)[:best]) for i, own in scores.items()}
        found = {line[2]: float(line[4]) for line in run if line[0] == query_id}
        assert found == pytest.approx(pooled, abs=1e-5)


def test_notes_are_judged_by_note(folder: Path) -> None:
    report, run, said = evaluate(folder, "of-notes.tsv", "--by", "note")
    assert "not in the index" not in said
    assert {line[2] for line in run} <= set(OWNERS)
    assert '"note"' in report
    assert {line[5] for line in run} == {"patientdx-bm25-by-note"}
    command = ("evaluate-ir", "--index", folder / "index", "--queries", folder / "queries.jsonl")
    refused = patientdx(*command, "--qrels", folder / "of-notes.tsv")
    assert refused.code == 1
    assert "none of the 3 notes judged relevant is in the index" in refused.err


def test_a_system_is_tuned_by_pool(folder: Path) -> None:
    command = ("tune-ir", "--index", folder / "index", "--queries", folder / "queries.jsonl")
    grid = ("--system", "bm25", "--grid", "k1=0.9,1.2", "--folds", 2)
    qrels = ("--qrels", folder / "patients.tsv")
    into = folder / "tuned.json"
    run_successfully(*command, *qrels, *grid, "--pool", "sum:2", "--into", into)
    assert json.loads(into.read_text())["notes"]["hits"] == "sum:2"
    refused = patientdx(*command, *qrels, *grid, "--pool", "sum:2", "--by", "note")
    assert refused.code == 2


def test_the_own_note_of_a_query_is_dropped_by_note(folder: Path) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "9-2", "text": "cough, fever"}\n')
    (folder / "own.tsv").write_text("9-2 0 7-2 1\n")
    options = ("--by", "note", "--measures", "RR RR@10", "--format", "tsv")
    command = ("evaluate-ir", "--index", folder / "index", "--queries", folder / "queries.jsonl")
    dropped, kept = (
        dict(
            line.split("\t")
            for line in run_successfully(
                *(*command, "--qrels", folder / "own.tsv", *options, "--own-notes", choice)
            ).lines
        )
        for choice in ("drop", "keep")
    )
    assert dropped["RR"] == dropped["RR@10"]
    assert kept["RR"] == kept["RR@10"]
    assert float(kept["RR"]) < float(dropped["RR"])
