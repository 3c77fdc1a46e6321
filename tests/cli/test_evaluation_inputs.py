"""`evaluate-ir` and `search` say what of their inputs was left out, and refuse what cannot fit."""

import json
from pathlib import Path

import pytest
from command_line import check_refusal, patientdx, rows, run_successfully

NOTES = rows(
    {"_id": "1", "text": "lupus nephritis"},
    {"_id": "2", "text": "dengue fever"},
    {"_id": "3", "text": "asthma attack"},
)
BY_NUMBER = b'{"_id": "1", "text": "lupus"}\n{"_id": "2", "text": "asthma"}\n'


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    run_successfully("index", "build", "-", "--into", folder, stdin=NOTES)
    return folder


def judged(
    folder: Path, queries: bytes = BY_NUMBER, qrels: str = "1 0 1 1\n2 0 3 1\n"
) -> tuple[object, ...]:
    (folder / "queries").write_bytes(queries)
    (folder / "qrels").write_text(qrels, encoding="utf-8")
    return ("--queries", folder / "queries", "--qrels", folder / "qrels")


def means(*args: object) -> tuple[dict[str, float], dict[str, str]]:
    """The mean of each measure, and the notes of the report."""
    table = run_successfully("evaluate-ir", *args, "--json").json
    (row,) = table["rows"]
    return {name: f["value"] for name, f in row["figures"].items()}, table["notes"]


@pytest.mark.parametrize(
    ("choice", "rr", "note"),
    [
        ("auto", 1.0, "ranked like others for 2 queries with the id of a note (--own-notes)"),
        ("keep", 1.0, "ranked like others for 2 queries with the id of a note (--own-notes)"),
        ("drop", 0.5, "dropped from the rankings of 2 queries, with 1 judgement"),
    ],
)
def test_queries_and_notes_may_be_numbered_apart(
    numbered: Path, tmp_path: Path, choice: str, rr: float, note: str
) -> None:
    command = ("--index", numbered, *judged(tmp_path), "--own-notes", choice)
    figures, notes = means(*command)
    assert (figures["RR"], figures["R@1000"]) == (rr, rr)
    assert notes["own notes"] == note
    run = tmp_path / "run"
    run_successfully("evaluate-ir", *command, "--write-run", run)
    by_run, notes = means("--run", run, "--qrels", tmp_path / "qrels", "--own-notes", choice)
    assert (by_run["RR"], by_run["R@1000"]) == (rr, rr)


def test_a_query_with_the_text_of_its_note_is_that_patient(numbered: Path, tmp_path: Path) -> None:
    queries = b'{"_id": "1", "text": "Lupus  nephritis"}\n{"_id": "2", "text": "asthma"}\n'
    figures, notes = means("--index", numbered, *judged(tmp_path, queries, "1 0 1 1\n2 0 3 1\n"))
    assert figures["RR"] == 0.5
    assert notes["own notes"] == (
        "dropped from the rankings of 1 query, with 1 judgement; "
        "ranked like others for 1 query with the id of a note (--own-notes)"
    )


@pytest.mark.parametrize(("folder", "rr"), [("PPR/qrels_test.tsv", 0.5), ("qrels/test.tsv", 1.0)])
def test_queries_of_a_recds_folder_are_patients_of_the_corpus(
    numbered: Path, tmp_path: Path, folder: str, rr: float
) -> None:
    for path, content in (("queries/test_queries.jsonl", BY_NUMBER), (folder, b"1 0 1 1\n2 0 3 1")):
        (tmp_path / "data" / path).parent.mkdir(parents=True)
        (tmp_path / "data" / path).write_bytes(content)
    data = ("--data", tmp_path / "data")
    figures, _ = means("--index", numbered, *data)
    assert figures["RR"] == rr
    run = tmp_path / "run"
    run.write_text("1 Q0 1 1 2.0 x\n2 Q0 3 1 2.0 x\n", encoding="utf-8")
    assert means("--run", run, *data)[0]["RR"] == rr


def test_tuning_drops_own_notes_as_evaluation_does(numbered: Path, tmp_path: Path) -> None:
    grid = ("--system", "bm25", "--grid", "k1=0.9", "--grid", "b=0.4", "--folds", "2")
    command = (
        "tune-ir",
        "--index",
        numbered,
        *judged(tmp_path),
        *grid,
        "--measures",
        "RR",
        "--json",
    )
    for choice, rr in (("auto", 1.0), ("drop", 0.5)):
        table = run_successfully(*command, "--own-notes", choice).json
        assert [row["figures"]["RR"]["value"] for row in table["rows"]] == [rr, rr]


def test_judged_notes_that_the_index_lacks_are_counted(numbered: Path, tmp_path: Path) -> None:
    qrels = "1 0 1 1\n1 0 x 2\n2 0 3 1\n2 0 y 0\n"
    command = ("evaluate-ir", "--index", numbered, *judged(tmp_path, qrels=qrels))
    outcome = run_successfully(*command, "--json")
    note = "2 of 4 judged notes not in the index (1 relevant): not retrieved"
    assert f"warning: {note}" in outcome.err
    assert outcome.json["notes"]["judged notes"] == note
    assert outcome.json["rows"][0]["figures"]["R@1000"]["value"] == 0.75


@pytest.mark.parametrize("qrels", ["1 0 x 1\n2 0 y 1\n", "1 0 x 1\n2 0 3 0\n", "1 0 x 0\n"])
@pytest.mark.parametrize("command", [("evaluate-ir",), ("tune-ir", "--folds", "2")])
def test_judgements_of_other_notes_are_refused(
    numbered: Path, tmp_path: Path, qrels: str, command: tuple[str, ...]
) -> None:
    outcome = patientdx(*command, "--index", numbered, *judged(tmp_path, qrels=qrels))
    check_refusal(outcome, f"{tmp_path / 'qrels'}: none of the ")
    assert "is in the index" in outcome.err


def test_a_run_of_other_notes_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("1 Q0 x 1 2.0 t\n", encoding="utf-8")
    (tmp_path / "qrels").write_text("1 0 d 1\n", encoding="utf-8")
    outcome = run_successfully(
        "evaluate-ir", "--run", tmp_path / "run", "--qrels", tmp_path / "qrels"
    )
    assert "warning: run: no hit is judged" in outcome.err


EMPTY = BY_NUMBER + b'{"_id": "9", "text": " "}\n'


@pytest.mark.parametrize(
    ("choice", "rr", "note"),
    [("leave-out", 1.0, "left out"), ("zero", 2 / 3, "score 0 where judged")],
)
def test_a_query_with_an_empty_text_is_left_out_or_scores_zero(
    numbered: Path, tmp_path: Path, choice: str, rr: float, note: str
) -> None:
    files = judged(tmp_path, EMPTY, "1 0 1 1\n2 0 3 1\n9 0 2 1\n")
    figures, notes = means("--index", numbered, *files, "--empty-queries", choice)
    assert figures["RR"] == pytest.approx(rr)
    assert notes["empty queries"] == f"1 query with an empty text: {note}"


def test_an_empty_query_without_judgements_is_no_refusal(numbered: Path, tmp_path: Path) -> None:
    figures, _ = means("--index", numbered, *judged(tmp_path, EMPTY))
    assert figures["RR"] == 1.0
    outcome = run_successfully("search", "--queries", tmp_path / "queries", "--index", numbered)
    assert "1 query with an empty text: left out" in outcome.err
    assert {line.split()[0] for line in outcome.lines} == {"1", "2"}


def test_the_part_of_a_topic_that_is_the_query_is_said(numbered: Path, tmp_path: Path) -> None:
    topics = tmp_path / "topics.xml"
    topics.write_text(
        '<topics><topic number="1"><description>dengue</description><summary>lupus</summary>'
        "</topic></topics>",
        encoding="utf-8",
    )
    command = ("search", "--index", numbered, "--queries", topics)
    outcome = run_successfully(*command)
    assert "from summary; --query-text-field names another: description" in outcome.err
    assert outcome.out.startswith("1 Q0 1 1 ")
    outcome = run_successfully(*command, "--query-text-field", "description")
    assert outcome.out.startswith("1 Q0 2 1 ")


@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_commas_within_brackets_part_no_measures(
    numbered: Path, tmp_path: Path, separator: str
) -> None:
    names = ("nDCG(gains={1:3,2:7})@10", "P(rel=1, judged_only=True)@5", "RR")
    measures = ("--measures", separator.join(names))
    figures, _ = means("--index", numbered, *judged(tmp_path), *measures)
    assert len(figures) == 3
    assert figures["RR"] == figures[next(iter(figures))] == 1.0


def test_dictionaries_of_pmc_patients_are_judgements(tmp_path: Path) -> None:
    texts = ("lupus nephritis", "lupus of the skin", "dengue fever")
    similar: list[dict[str, int]] = [{"1-2": 2}, {"1-1": 2}, {}]
    patients = [
        {"patient_id": i, "patient_uid": f"1-{i + 1}", "PMID": "7", "title": "t", "patient": text}
        | {"similar_patients": similar[i]}
        for i, text in enumerate(texts)
    ]
    corpus = tmp_path / "PMC-Patients.json"
    corpus.write_text(json.dumps(patients), encoding="utf-8")
    run_successfully("index", "build", corpus, "--into", tmp_path / "index")
    figures, notes = means("--index", tmp_path / "index", "--queries", corpus, "--qrels", corpus)
    assert (figures["RR"], figures["R@1000"]) == (1.0, 1.0)
    assert notes["own notes"] == "dropped from the rankings of 2 queries"
