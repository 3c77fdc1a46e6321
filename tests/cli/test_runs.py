"""Many queries at once, and the TREC runs they make; `similar`."""

from pathlib import Path

import numpy as np
import pytest
from command_line import Outcome, hits, patientdx, rows, run_successfully, sample, scored
from oracle import Oracle, to_float32

from indexer.index import Index
from patientdx.formats import read_run
from patientdx.records import Query
from patientdx.sample import sample_folder

ROWS, QUERIES = sample("corpus.jsonl"), sample("queries.jsonl")


def runs(outcome: Outcome, path: Path) -> dict[str, list[tuple[str, float]]]:
    text = path.read_text(encoding="utf-8") if path.exists() else outcome.out
    ranked: dict[str, list[tuple[str, float]]] = {}
    for line in text.splitlines():
        query_id, q0, doc_id, rank, score, tag = line.split(" ")
        assert (q0, tag) == ("Q0", "patientdx-bm25")
        ranked.setdefault(query_id, []).append((doc_id, to_float32(float(score))))
        assert int(rank) == len(ranked[query_id])
    return ranked


@pytest.mark.parametrize("form", ["file", "stdin", "tsv", "stdout"])
def test_many_queries_make_a_run_that_loses_no_digit(
    form: str, sample_index: Path, sample_oracle: Oracle, tmp_path: Path
) -> None:
    source: Path = sample_folder() / "queries.jsonl"
    if form == "tsv":
        source = tmp_path / "queries.tsv"
        source.write_text("".join(f"{q['_id']}\t{q['text']}\n" for q in QUERIES), encoding="utf-8")
    run = tmp_path / "out.trec"
    outcome = run_successfully(
        *(
            "search",
            "--queries",
            "-" if form == "stdin" else source,
            "--index",
            sample_index,
            "-k",
            7,
        ),
        *(() if form == "stdout" else ("--write-run", run)),
        stdin=source.read_bytes() if form == "stdin" else b"",
    )
    assert f"{len(QUERIES)} queries, {7 * len(QUERIES)} hits" in outcome.err
    assert (outcome.out == "") == (form != "stdout")
    rankings = runs(outcome, run)
    assert rankings == {
        q["_id"]: sample_oracle.ranking(Query(q["_id"], q["text"]))[:7] for q in QUERIES
    }
    if form == "stdout":
        run.write_text(outcome.out, encoding="utf-8")
    opened = Index.open(sample_index)
    queries = [Query(q["_id"], q["text"]) for q in QUERIES]
    read = read_run(run)
    assert list(read.values()) == opened.search_many(queries, 7)
    assert all(
        np.float32(hit.score) == hit.score
        for hits_of_query in read.values()
        for hit in hits_of_query
    )


def test_many_queries_take_filters_too(sample_index: Path) -> None:
    source = sample_folder() / "queries.jsonl"
    outcome = run_successfully(
        "search", "--queries", source, "--index", sample_index, "--sex", "F", "-k", 999
    )
    women = {row["_id"] for row in ROWS if row["sex"] == "F"}
    rankings = runs(outcome, Path("no-such-file"))
    assert {doc_id for hits_of_query in rankings.values() for doc_id, _ in hits_of_query} <= women
    for query in QUERIES[:3]:
        command = ("search", query["text"], "--index", sample_index, "--sex", "F", "-k", 999)
        assert rankings[query["_id"]] == scored(hits(*command))


def test_a_patient_is_never_similar_to_themself(sample_index: Path, sample_oracle: Oracle) -> None:
    for patient_id in ("demo-001", "demo-010", "demo-100"):
        text = sample_oracle.patients[patient_id].full_text
        expected = [hit for hit in sample_oracle.ranking(Query("q", text)) if hit[0] != patient_id]
        assert scored(hits("similar", patient_id, "--index", sample_index)) == expected[:10]
    everyone = hits("similar", "demo-001", "--index", sample_index, "-k", 999)
    assert "demo-001" not in {hit["patient_id"] for hit in everyone}
    assert (
        run_successfully("similar", "demo-001", "--index", sample_index, "--json").json["query_id"]
        == "demo-001"
    )


def test_other_articles_leaves_out_patients_of_the_same_one(tmp_path: Path) -> None:
    numbered = ["77-1", "77-2", "770-1", "7-1"]
    named = [("x", 5), ("y", 5), ("z", 55)]
    index = tmp_path / "index"
    patients: list[dict[str, object]] = [{"_id": i, "text": "gout of the toe"} for i in numbered]
    patients += [{"_id": i, "text": "gout of the toe", "PMID": pmid} for i, pmid in named]
    run_successfully("index", "build", "-", "--into", index, stdin=rows(*patients))
    command = ("similar", "77-1", "--index", index, "-q")
    assert sorted(run_successfully(*command).lines) == ["7-1", "77-2", "770-1", "x", "y", "z"]
    assert sorted(run_successfully(*command, "--other-articles").lines) == [
        "7-1",
        "770-1",
        "x",
        "y",
        "z",
    ]
    other_articles = ("similar", "x", "--index", index, "-q", "--other-articles")
    assert sorted(run_successfully(*other_articles).lines) == ["7-1", "77-1", "77-2", "770-1", "z"]


def test_an_unknown_patient_is_reported_by_id(sample_index: Path) -> None:
    outcome = patientdx("similar", "demo-999", "--index", sample_index)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "error: no patient `demo-999` in this index\n\nhint: see the ids: index info --ids\n"
    )
