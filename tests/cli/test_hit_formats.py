"""Hits as CSV, TSV, JSON, JSON lines, TREC runs and FHIR Lists, of one query and of many."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Outcome, patientdx, rows, run_successfully, sample
from oracle import Oracle

from patientdx.formats import read_run
from patientdx.records import Query
from patientdx.sample import sample_folder

QUERIES = sample("queries.jsonl")
NOTE = QUERIES[0]["text"]
Ranking = list[tuple[str, float]]


def ranked_rows(printed: Any) -> Ranking:
    """(id, score) of rows that are ranked from 1."""
    assert [int(row["rank"]) for row in printed] == list(range(1, len(printed) + 1))
    return [(row["patient_id"], float(row["score"])) for row in printed]


def by_query(printed: Any) -> dict[str, Ranking]:
    ids = dict.fromkeys(row["query_id"] for row in printed)
    return {query: ranked_rows([r for r in printed if r["query_id"] == query]) for query in ids}


def of_lists(printed: Any) -> dict[str, Ranking]:
    lists = (
        [e["resource"] for e in printed["entry"]]
        if printed["resourceType"] == "Bundle"
        else [printed]
    )
    assert {resource["resourceType"] for resource in lists} == {"List"}
    return {
        resource["title"].rpartition(" ")[2]: [
            (
                entry["item"]["reference"].removeprefix("Patient/"),
                entry["extension"][0]["valueDecimal"],
            )
            for entry in resource["entry"]
        ]
        for resource in lists
    }


def parse(form: str, outcome: Outcome, tmp_path: Path) -> dict[str, Ranking]:
    """The hits of every query as another program would read them."""
    match form:
        case "csv":
            return by_query(list(csv.DictReader(io.StringIO(outcome.out))))
        case "tsv":
            return by_query(list(csv.DictReader(io.StringIO(outcome.out), delimiter="\t")))
        case "jsonl":
            return by_query([json.loads(line) for line in outcome.out.splitlines()])
        case "json":
            printed = outcome.json if isinstance(outcome.json, list) else [outcome.json]
            return {result["query_id"]: ranked_rows(result["hits"]) for result in printed}
        case "fhir":
            return of_lists(outcome.json)
    (tmp_path / "run").write_text(outcome.out)
    run = read_run(tmp_path / "run")
    return {query: [(hit.doc_id, hit.score) for hit in hits] for query, hits in run.items()}


FORMS = ("csv", "tsv", "json", "jsonl", "trec", "fhir")


@pytest.mark.parametrize("form", FORMS)
def test_every_format_holds_the_hits_of_all_queries(
    form: str, sample_index: Path, sample_oracle: Oracle, tmp_path: Path
) -> None:
    source = sample_folder() / "queries.jsonl"
    outcome = run_successfully(
        "search", "--queries", source, "--index", sample_index, "-k", 3, "--format", form
    )
    expected = {
        q["_id"]: [tuple(hit) for hit in sample_oracle.ranking(Query("", q["text"]))[:3]]
        for q in QUERIES
    }
    assert parse(form, outcome, tmp_path) == expected


@pytest.mark.parametrize("form", FORMS)
def test_every_format_holds_the_hits_of_a_query(
    form: str, sample_index: Path, sample_oracle: Oracle, tmp_path: Path
) -> None:
    outcome = run_successfully("search", NOTE, "--index", sample_index, "-k", 4, "--format", form)
    expected = [tuple(hit) for hit in sample_oracle.ranking(Query("", NOTE))[:4]]
    if form in {"json", "tsv"}:
        same = run_successfully("search", NOTE, "--index", sample_index, "-k", 4, f"--{form}")
        assert outcome.out == same.out
        return
    assert parse(form, outcome, tmp_path) == {"query": expected}
    similar = run_successfully("similar", "demo-001", "--index", sample_index, "--format", form)
    assert set(parse(form, similar, tmp_path)) == {"demo-001"}


@pytest.fixture
def blanks(tmp_path: Path) -> Path:
    """An index of ids that hold blanks."""
    notes = [{"_id": "Patient 1", "text": "lupus"}, {"_id": "Patient 2", "text": "lupus nephritis"}]
    run_successfully("index", "build", "-", "--into", tmp_path / "x", stdin=rows(*notes))
    return tmp_path / "x"


MANY = rows({"_id": "q1", "text": "lupus nephritis"}, {"_id": "q2", "text": "dengue"})


def test_a_run_refuses_ids_with_blanks_and_the_others_hold_them(blanks: Path) -> None:
    search = ("search", "--queries", "-", "--index", blanks)
    for form in ((), ("--format", "trec")):
        refused = patientdx(*search, *form, stdin=MANY)
        assert (refused.code, refused.out) == (1, "")
        assert "`'Patient 2'`" in refused.err
        assert "--json" in refused.err
    printed = run_successfully(*search, "--json", stdin=MANY).json
    assert [[hit["patient_id"] for hit in result["hits"]] for result in printed] == [
        ["Patient 2", "Patient 1"],
        [],
    ]
    fhir = run_successfully(*search, "--format", "fhir", stdin=MANY).json
    first, second = (entry["resource"] for entry in fhir["entry"])
    assert first["entry"][0]["item"] == {"type": "Patient", "identifier": {"value": "Patient 2"}}
    assert "entry" not in second
    table = run_successfully(*search, "--format", "csv", stdin=MANY).out.splitlines()
    assert table[0].startswith("query_id,rank,patient_id,score")
    assert table[1].startswith("q1,1,Patient 2,")
    assert len(table) == 3


def test_many_queries_are_explained_as_one_is(sample_index: Path, tmp_path: Path) -> None:
    source = rows({"_id": "q1", "text": NOTE})
    search = ("search", "--queries", "-", "--index", sample_index, "-k", 2)
    for more in ((), ("--expand", "phrases")):
        (many,) = run_successfully(*search, *more, "--json", "--explain", stdin=source).json
        single = run_successfully("search", NOTE, *search[3:], *more, "--json").json
        assert {**many, "query_id": "query"} == single
        assert many["hits"][0]["explanation"]
    lines = run_successfully(*search, "--format", "jsonl", "--explain", stdin=source).out
    assert all(json.loads(line)["explanation"] for line in lines.splitlines())


def test_a_run_and_another_format_at_once(sample_index: Path, tmp_path: Path) -> None:
    run = tmp_path / "out.trec"
    outcome = run_successfully(
        *("search", "--queries", "-", "--index", sample_index, "--write-run", run, "--json"),
        stdin=rows({"_id": "q1", "text": NOTE}),
    )
    hits = [(hit.doc_id, hit.score) for hit in read_run(run)["q1"]]
    assert ranked_rows(outcome.json[0]["hits"]) == hits
