"""Runs against ir_measures, pytrec_eval, and BEIR's definitions written apart."""

import math
from collections.abc import Sequence

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import DEFAULT_MEASURES, evaluate_run
from patientdx.errors import EvaluationError
from patientdx.records import Hit, Qrels, Run


def trec_order(hits: Sequence[Hit]) -> list[str]:
    """Written apart from `ranked`: float32 scores downwards, doc_id downwards."""
    by_id = sorted(hits, key=lambda hit: hit.doc_id, reverse=True)
    return [hit.doc_id for hit in sorted(by_id, key=lambda hit: -np.float32(hit.score))]


def beir_mrr(qrels: Qrels, run: Run, k: int) -> float:
    """As in beir/retrieval/custom_metrics.py: divided by the queries of the qrels."""
    total = 0.0
    for query_id, judged in qrels.items():
        order = [doc for doc in trec_order(run.get(query_id, [])) if doc != query_id]
        for rank, doc_id in enumerate(order[:k], start=1):
            if judged.get(doc_id, 0) > 0:
                total += 1.0 / rank
                break
    return total / len(qrels)


def linear_ndcg(judged: dict[str, int], order: list[str], k: int) -> float:
    def gain(grades: list[int]) -> float:
        return sum(g / math.log2(rank + 1) for rank, g in enumerate(grades[:k], start=1))

    ideal = gain(sorted(judged.values(), reverse=True))
    return gain([judged.get(doc_id, 0) for doc_id in order]) / ideal if ideal else 0.0


def hits(*pairs: tuple[str, float]) -> list[Hit]:
    return [Hit(doc_id, score) for doc_id, score in pairs]


def test_grades_count_linearly_in_ndcg() -> None:
    judged = {"a": 1, "b": 3}
    got = evaluate_run({"q": judged}, {"q": hits(("a", 2.0), ("b", 1.0))}, ["nDCG@10"])
    assert got.mean("nDCG@10") == pytest.approx(linear_ndcg(judged, ["a", "b"], 10))
    exponential = (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))
    assert got.mean("nDCG@10") != pytest.approx(exponential)


DOCS = [f"d{number}" for number in range(12)]
SCORES = st.one_of(
    st.sampled_from([0.5, 1.0, 16777216.0, 16777217.0]),
    st.floats(min_value=-1e6, max_value=1e6, allow_nan=False),
)
QUERY_IDS = st.sampled_from(["q1", "q2", "q3", "q4"])
SOME_QRELS = st.dictionaries(
    QUERY_IDS,
    st.dictionaries(st.sampled_from(DOCS), st.integers(0, 3), min_size=1),
    min_size=1,
)
SOME_RUN = st.dictionaries(
    QUERY_IDS, st.dictionaries(st.sampled_from(DOCS), SCORES, min_size=1), min_size=1
)
MANY = ("RR", "P@10", "nDCG@10", "R@1000", "AP", "AP@3", "P(rel=2)@5", "nDCG", "Rprec", "Bpref")


def as_run(scores: dict[str, dict[str, float]]) -> Run:
    return {query_id: [Hit(*pair) for pair in of.items()] for query_id, of in scores.items()}


@given(SOME_QRELS, SOME_RUN)
@settings(max_examples=150, deadline=None)
def test_means_are_those_of_ir_measures(qrels: Qrels, scores: dict[str, dict[str, float]]) -> None:
    if not qrels.keys() & scores.keys():
        with pytest.raises(EvaluationError):
            evaluate_run(qrels, as_run(scores), MANY)
        return
    got = evaluate_run(qrels, as_run(scores), MANY)
    parsed = [ir_measures.parse_measure(name) for name in MANY]
    expected = ir_measures.calc_aggregate(parsed, qrels, scores)
    for measure, value in expected.items():
        assert got.mean(str(measure)) == pytest.approx(value, abs=1e-12)


@given(SOME_QRELS, SOME_RUN, st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_means_are_those_of_beir(
    qrels: Qrels, scores: dict[str, dict[str, float]], cutoff: int
) -> None:
    run = as_run({next(iter(qrels)): {"d0": 1.0}} | scores)
    got = evaluate_run(qrels, run, ["RR", f"RR@{cutoff}", "nDCG@10"])
    assert got.mean("RR") == pytest.approx(beir_mrr(qrels, run, 10**6))
    assert got.mean(f"RR@{cutoff}") == pytest.approx(beir_mrr(qrels, run, cutoff))
    for query_id, judged in qrels.items():
        value = linear_ndcg(judged, trec_order(run.get(query_id, [])), 10)
        assert got.per_query[query_id]["nDCG@10"] == pytest.approx(value, abs=1e-12)


def test_values_of_many_queries_are_those_of_pytrec_eval() -> None:
    # More queries than are scored at once.
    rng = np.random.default_rng(7)
    qrels: Qrels = {}
    scores: dict[str, dict[str, float]] = {}
    for number in range(600):
        docs = [f"d{doc}" for doc in rng.choice(200, size=40, replace=False)]
        qrels[f"q{number}"] = {doc: int(rng.integers(0, 3)) for doc in docs[:10]}
        scores[f"q{number}"] = {doc: float(rng.integers(1, 15)) for doc in docs[5:]}
    del scores["q17"]
    trec = {"RR": "recip_rank", "P@10": "P_10", "nDCG@10": "ndcg_cut_10", "R@1000": "recall_1000"}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(trec.values())).evaluate(scores)
    got = evaluate_run(qrels, as_run(scores), DEFAULT_MEASURES)
    assert list(got.per_query) == list(qrels)
    for query_id in scores:
        for ours, theirs in trec.items():
            assert got.per_query[query_id][ours] == expected[query_id][theirs]
    assert set(got.per_query["q17"].values()) == {0.0}


def test_measures_with_parameters_do_not_disturb_each_other() -> None:
    qrels = {"q": {"a": 1, "b": 2}}
    run = {"q": hits(("a", 2.0), ("b", 1.0))}
    names = ["nDCG(gains={2:50})@10", "nDCG@10", "P(rel=2)@1", "P@1"]
    together = evaluate_run(qrels, run, names)
    for name in names:
        assert together.mean(name) == evaluate_run(qrels, run, [name]).mean(name)
    assert together.mean("nDCG@10") == pytest.approx(linear_ndcg(qrels["q"], ["a", "b"], 10))
