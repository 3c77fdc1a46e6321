"""Judgements and runs, against ir_measures and through round trips."""

import io
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import SHARED

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import read_qrels, read_run, write_qrels, write_run
from patientdx.records import Hit, Qrels, Run, float32, ranked

read_trec_qrels: Callable[[object], Iterable[Any]] = ir_measures.read_trec_qrels
read_trec_run: Callable[[object], Iterable[Any]] = ir_measures.read_trec_run

HYPOTHESIS = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
QREL_PIECES = (
    *('{"query-id": "q", "corpus-id": "d", "score": 1}', '{"q": {"d": 1}}', "similar_patients,"),
    *("patient_uid", "\n", "[", "]", ",", "{", "}", "1.0", '"', "'a': 1", "q\td\t"),
)
QRELS: Qrels = {"q1": {"d1": 1, "8535945-4": 2}, "7": {"d1": 0, "d2": -1}}


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\t8535945-4\t2\n7\td1\t0\n7\td2\t-1\n",
        "q1\td1\t1\nq1\t8535945-4\t2\n7\td1\t0\n7\td2\t-1\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t1\r\nq1\t8535945-4\t2\r\n\r\n7\td1\t0\r\n7\td2\t-1",
        "q1 0 d1 1\nq1 0 8535945-4 2\n7 Q0 d1 0\n7  0  d2  -1\n",
        "qid\titer\tdocid\trel\nq1\t0\td1\t1\nq1\t0\t8535945-4\t2\n7\t0\td1\t0\n7\t0\td2\t-1\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t1.0\nq1\t8535945-4\t2.0\n7\td1\t0.0\n7\td2\t-1.0\n",
        'qid,docno,label\nq1,"d1",1\nq1,8535945-4,2\n7,d1,0\n7,d2,-1\n',
        "q1,0,d1,1\nq1,0,8535945-4,2\n7,0,d1,0\n7,0,d2,-1.\n",
        (
            '{"query-id": "q1", "corpus-id": "d1", "score": 1}\n\n'
            '{"query-id": "q1", "corpus-id": "8535945-4", "score": 2.0}\n'
            '{"query_id": 7, "doc_id": "d1", "relevance": "0"}\n'
            '{"qid": 7, "docno": "d2", "label": -1}'
        ),
        (
            '[{"query-id": "q1", "corpus-id": "d1", "score": 1},'
            '{"query-id": "q1", "corpus-id": "8535945-4", "score": 2},'
            '{"query-id": "7", "corpus-id": "d1", "score": 0},'
            '{"query-id": "7", "corpus-id": "d2", "score": -1}]'
        ),
        json.dumps(QRELS),
        json.dumps(QRELS, indent=2),
        "\n".join(json.dumps({"patient_uid": q, "similar_patients": g}) for q, g in QRELS.items()),
        json.dumps([{"patient_uid": q, "similar_patients": g} for q, g in QRELS.items()]),
        (
            "patient_id,patient_uid,patient,similar_patients\n"
            "0,q1,\"a, b\",\"{'d1': 1, '8535945-4': 2}\"\n1,7,x,\"{'d1': 0, 'd2': -1}\"\n2,9,x,{}\n"
        ),
    ],
)
def test_forms_of_qrels(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qrels").write_bytes(content.encode())
    assert read_qrels(tmp_path / "qrels") == QRELS
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    assert read_qrels("-") == QRELS


def test_a_first_row_without_a_header_is_kept(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("query\tdoc\t1\n")
    assert read_qrels(tmp_path / "q.tsv") == {"query": {"doc": 1}}


def test_tabs_let_ids_hold_spaces(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q 1\tdoc 2\t1\n")
    assert read_qrels(tmp_path / "q.tsv") == {"q 1": {"doc 2": 1}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("q d 1\nq d 1\n", ":2: `d` was judged for query `q` already"),
        ("q d x\n", ":1: the relevance"),
        ("q d 1\nq 0 e 1\n", ":2: 4 columns instead of 3"),
        ("q 0 d 1\nquery-id 0 corpus-id score\n", ":2: the relevance"),
        ("q d\n", ":1: 2 columns instead of 4 (TREC) or 3 (BEIR)"),
        ("q\t\t1\n", ":1: an empty id"),
        ('{"query-id": "q", "corpus-id": "d", "score": 0.5}', ":1: the relevance"),
        ('\n{"query-id": "q", "corpus-id": "d", "score": 1}\n{"q": 1}', ":3: no judgement"),
        ('{"query-id": "q", "corpus-id": "d", "score": true}', ":1: the relevance"),
        ('{"q": {"d": 1}, "q": {"e": 1}}', ": malformed JSON"),
        ('{"q": {"d": 1}}\n{"r": {"d": 1}}', ": malformed JSON"),
        ('[{"patient_uid": "q", "similar_patients": "x("}]', ":1: this is no object"),
        ('[{"patient_uid": "q", "similar_patients": "__import__(1)"}]', ":1: this is no object"),
        ("q,d,x\n", ":1: the relevance"),
        ("q d 1_0\n", ":1: the relevance"),
        ("q d 1.5\n", ":1: the relevance"),
        ("q d \u0663\n", ":1: the relevance"),
    ],
)
def test_bad_qrels(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_qrels(path)
    assert caught.value.message.startswith(f"{path}{problem}")


def test_kinds_of_matches_of_cliniq_are_relevant(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("694\t106238_2\tsynonym\n694\t106238_9\tstring\n")
    assert read_qrels(tmp_path / "q.tsv") == {"694": {"106238_2": 1, "106238_9": 1}}


@HYPOTHESIS
@given(
    st.binary(max_size=80)
    | st.text('{}[]":,.-01 qdscore\t\n', max_size=60).map(str.encode)
    | st.lists(st.sampled_from(QREL_PIECES), max_size=10).map("".join).map(str.encode)
)
def test_any_bytes_give_judgements_or_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "q").write_bytes(data)
    try:
        qrels = read_qrels(tmp_path / "q")
        fine = all(
            isinstance(g, int) and q and d for q, judged in qrels.items() for d, g in judged.items()
        )
    except PatientDxError as error:
        fine = error.message.startswith(str(tmp_path))
    assert fine


RUN_TEXT = "q1 Q0 d1 1 2.5 t\nq1 Q0 d2 2 2.5 t\nq1 Q0 d0 3 9e1 t\n\n7\tQ0\td1\t1\t-1\tt\n"
RUN: Run = {
    "q1": [Hit("d0", 90.0), Hit("d2", 2.5), Hit("d1", 2.5)],
    "7": [Hit("d1", -1.0)],
}


@pytest.mark.parametrize(
    "content", [RUN_TEXT, json.dumps({q: dict(hits) for q, hits in RUN.items()}, indent=1)]
)
def test_forms_of_runs(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").write_text(content)
    assert read_run(tmp_path / "run") == RUN


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("q Q0 d 1 1 t\nq Q0 d 2 1 t\n", ":2: `d` was ranked for query `q` already"),
        ("q Q0 d 1 nan t\n", ":1: the score is not finite"),
        ("q Q0 d 1 -inf t\n", ":1: the score is not finite"),
        ("q Q0 d 1 1e39 t\n", ":1: the score is not finite"),
        ("q Q0 d 1 high t\n", ":1: the score is no number"),
        ("q Q0 d 1 1_0 t\n", ":1: the score is no number"),
        ("q Q0 d 1 1\n", ":1: 5 columns instead of 6"),
        ('{"q": {"d": 1},\n "q": {"e": 1}}', ": the id `q` stands twice"),
        ('{"q": {"d": 1, "d": 1}}', ": the id `d` stands twice"),
        ('{"q": {"d": NaN}}', ": the score of `d` for query `q` is no finite number"),
        ('{"q": {"d": true}}', ": the score of `d`"),
        ('{"q": {"d": 1' + "0" * 50 + "}}", ": the score of `d`"),
        ('{"q": [1]}', ": query `q` has no object of scores"),
        ('{"q": {"d": 1},\n', ":2: malformed JSON"),
        ("\n" * 300_000 + '{"q":\n x}', ":300002: malformed JSON"),
        ('{"q": ' * 100_000, ": malformed JSON"),
        ('{"q": {"d": ' + "1" * 5000 + "}}", ": malformed JSON"),
    ],
)
def test_bad_runs(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "run"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_run(path)
    assert caught.value.message.startswith(f"{path}{problem}")


ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda text: text.isprintable() and " " not in text
)
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
# A file that begins with a brace is taken for results JSON.
query_ids = ids.filter(lambda text: not text.startswith("{"))
runs = st.dictionaries(query_ids, st.dictionaries(ids, floats32, min_size=1).map(ranked))
all_qrels = st.dictionaries(ids, st.dictionaries(ids, st.integers(-9, 99), min_size=1))


@HYPOTHESIS
@given(runs)
def test_runs_come_back_as_they_were(tmp_path: Path, run: Run) -> None:
    for name in ("run.txt", "run.txt.gz"):
        write_run(tmp_path / name, run, "tag")
        assert read_run(tmp_path / name) == run
    theirs = list(read_trec_run(str(tmp_path / "run.txt.gz")))
    assert [(d.query_id, d.doc_id, float32(d.score)) for d in theirs] == [
        (query_id, hit.doc_id, hit.score) for query_id, hits in run.items() for hit in hits
    ]


@HYPOTHESIS
@given(all_qrels, st.sampled_from(["beir", "trec"]))
def test_qrels_come_back_as_they_were(tmp_path: Path, qrels: Qrels, form: str) -> None:
    write_qrels(tmp_path / "qrels", qrels, form)  # type: ignore[arg-type]
    assert read_qrels(tmp_path / "qrels") == qrels
    if form == "trec":
        with (tmp_path / "qrels").open(encoding="utf-8") as lines:
            theirs = list(read_trec_qrels(lines))
        assert [(q.query_id, q.doc_id, q.relevance) for q in theirs] == [
            (query_id, doc_id, grade)
            for query_id, graded in qrels.items()
            for doc_id, grade in graded.items()
        ]


def test_beir_qrels_may_hold_ids_with_spaces(tmp_path: Path) -> None:
    write_qrels(tmp_path / "q.tsv", {"q 1": {"d 1": 1}})
    assert (tmp_path / "q.tsv").read_text() == "query-id\tcorpus-id\tscore\nq 1\td 1\t1\n"
    assert read_qrels(tmp_path / "q.tsv") == {"q 1": {"d 1": 1}}


def test_a_run_is_ranked_from_one_with_short_scores(tmp_path: Path) -> None:
    score = float(np.float32(0.1))
    write_run(tmp_path / "run", {"q": [Hit("a", 12.0), Hit("b", score)]}, "bm25")
    assert (tmp_path / "run").read_text() == "q Q0 a 1 12.0 bm25\nq Q0 b 2 0.1 bm25\n"


def test_writing_creates_no_ties(tmp_path: Path) -> None:
    close = np.nextafter(np.float32(20), np.float32(99))
    hits = [Hit("a", float(close)), Hit("b", 20.0)]
    write_run(tmp_path / "run", {"q": hits}, "t")
    assert read_run(tmp_path / "run")["q"] == hits
    wide = [Hit("a", math.nextafter(0.3, 1)), Hit("b", 0.3)]
    write_run(tmp_path / "run", {"q": wide}, "t")
    scores = [float(line.split()[4]) for line in (tmp_path / "run").read_text().splitlines()]
    assert scores == [hit.score for hit in wide]


@pytest.mark.parametrize(
    ("run", "tag", "problem"),
    [
        ({"q": [Hit("a b", 1.0)]}, "t", "document id"),
        ({"q": [Hit("", 1.0)]}, "t", "document id"),
        ({"q": [Hit("a\u00a0b", 1.0)]}, "t", "document id"),
        ({"q\n": [Hit("a", 1.0)]}, "t", "query id"),
        ({"q": [Hit("a", 1.0)]}, "two words", "tag"),
        ({"q": [Hit("a", 1.0)]}, "", "tag"),
        ({"q": [Hit("a", 1.0), Hit("a", 0.5)]}, "t", "twice"),
        ({"q": [Hit("a", math.nan)]}, "t", "not finite"),
        ({"q": [Hit("a", 1e300)]}, "t", "not finite"),
    ],
)
def test_runs_that_cannot_be_written(tmp_path: Path, run: Run, tag: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        write_run(tmp_path / "run", run, tag)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["beir", "trec"])
@pytest.mark.parametrize("bad", ["", "a\tb", " a"])
def test_qrels_that_cannot_be_written(tmp_path: Path, form: str, bad: str) -> None:
    for qrels in ({bad: {"d": 1}}, {"q": {bad: 1}}):
        with pytest.raises(InputError):
            write_qrels(tmp_path / "q", qrels, form)  # type: ignore[arg-type]


@HYPOTHESIS
@given(st.binary(max_size=99) | st.text('{}":,qd01 \t\n.e-', max_size=60).map(str.encode))
def test_any_bytes_give_a_result_or_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    for read in (read_qrels, read_run):
        try:
            fine = isinstance(read(path), dict)
        except PatientDxError as error:
            fine = error.message.startswith(str(path))
        assert fine


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["phenopackets", "pmc_plus_e3c", "nfcorpus"])
def test_shared_qrels(folder: str, tmp_path: Path) -> None:
    source = SHARED / folder / "qrels" / "dev.tsv"
    if not source.is_file():
        pytest.skip(f"shared data `{folder}` is absent")
    rows = [line.split("\t") for line in source.read_text().splitlines()[1:]]
    qrels = read_qrels(source)
    assert [(q, d, str(g)) for q, graded in qrels.items() for d, g in graded.items()] == sorted(
        map(tuple, rows), key=lambda row: list(qrels).index(row[0])
    )
    write_qrels(tmp_path / "copy", qrels, "trec")
    theirs = read_trec_qrels(str(tmp_path / "copy"))
    assert len(list(theirs)) == len(rows)


@pytest.mark.parametrize("query_id", ["[:", "{q", "[1]", '{"a":'])
def test_ids_of_queries_may_begin_as_json_does(tmp_path: Path, query_id: str) -> None:
    (tmp_path / "qrels").write_text(f"{query_id} 0 d 1\n{query_id} 0 e 2\n", encoding="utf-8")
    assert read_qrels(tmp_path / "qrels") == {query_id: {"d": 1, "e": 2}}
    (tmp_path / "run").write_text(f"{query_id} Q0 d 1 2.5 tag\n", encoding="utf-8")
    assert read_run(tmp_path / "run") == {query_id: [Hit("d", 2.5)]}
