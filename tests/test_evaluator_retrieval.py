"""Runs and searchers against trec_eval, against BEIR's definitions and against pencil and paper."""

import math
from collections.abc import Sequence

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import DEFAULT_MEASURES, Counts, Evaluation, evaluate_run, evaluate_searcher
from patientdx.errors import EvaluationError
from patientdx.protocols import RankingSearcher, Searcher
from patientdx.records import Filter, Hit, Qrels, Query, Run, ranked

# --- independent definitions -------------------------------------------------------------------


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


# --- a tiny example by hand --------------------------------------------------------------------

QRELS: Qrels = {
    "q1": {"a": 2, "b": 1, "c": 0},
    "q2": {"x": 1},
    "q3": {"y": 1},
}
RUN: Run = {
    "q1": hits(("c", 9.0), ("b", 8.0), ("u", 7.0), ("a", 6.0)),
    "q2": hits(("w", 3.0), ("x", 2.0)),
    "unjudged": hits(("a", 1.0)),
}


def test_a_tiny_example_computed_by_hand() -> None:
    got = evaluate_run(QRELS, RUN, ["RR", "P@2", "nDCG@3", "R@3", "AP", "RR@1"])
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    by_hand = {
        "q1": {
            "RR": 1 / 2,
            "P@2": 1 / 2,
            "nDCG@3": (1 / math.log2(3)) / ideal,
            "R@3": 1 / 2,
            "AP": (1 / 2 + 2 / 4) / 2,
            "RR@1": 0.0,
        },
        "q2": {
            "RR": 1 / 2,
            "P@2": 1 / 2,
            "nDCG@3": 1 / math.log2(3),
            "R@3": 1.0,
            "AP": 1 / 2,
            "RR@1": 0.0,
        },
        "q3": dict.fromkeys(["RR", "P@2", "nDCG@3", "R@3", "AP", "RR@1"], 0.0),
    }
    assert list(got.per_query) == ["q1", "q2", "q3"]
    for query_id, values in by_hand.items():
        assert got.per_query[query_id] == pytest.approx(values, abs=1e-12)
    assert got.mean("RR") == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)


def test_queries_missing_from_the_run_count_zero_in_every_mean() -> None:
    got = evaluate_run(QRELS, {"q2": hits(("x", 1.0))}, DEFAULT_MEASURES)
    assert got.mean("RR") == pytest.approx(1 / 3)
    assert got.mean("R@1000") == pytest.approx(1 / 3)
    assert got.mean("P@10") == pytest.approx(0.1 / 3)


def test_queries_that_found_nothing_count_zero() -> None:
    got = evaluate_run(QRELS, {"q1": [], "q2": [], "q3": []}, DEFAULT_MEASURES)
    assert [got.mean(measure) for measure in DEFAULT_MEASURES] == [0.0] * 4


@pytest.mark.parametrize("judged", [{}, {"a": 0}, {"a": -1}])
def test_queries_without_a_relevant_note_count_zero(judged: dict[str, int]) -> None:
    qrels = {"empty": judged, "full": {"a": 1}}
    run = {"empty": hits(("a", 1.0)), "full": hits(("a", 1.0))}
    got = evaluate_run(qrels, run, DEFAULT_MEASURES)
    assert got.values("RR") == [0.0, 1.0]
    assert got.mean("nDCG@10") == pytest.approx(0.5)


def test_grades_count_linearly_in_ndcg() -> None:
    judged = {"a": 1, "b": 3}
    got = evaluate_run({"q": judged}, {"q": hits(("a", 2.0), ("b", 1.0))}, ["nDCG@10"])
    assert got.mean("nDCG@10") == pytest.approx(linear_ndcg(judged, ["a", "b"], 10))
    exponential = (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))
    assert got.mean("nDCG@10") != pytest.approx(exponential)


# --- ties --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("relevant", "rank"), [("z", 1), ("m", 2), ("a", 3)])
def test_ties_go_by_doc_id_downwards_whatever_the_order_listed(relevant: str, rank: int) -> None:
    run = {"q": hits(("a", 1.0), ("z", 1.0), ("m", 1.0))}
    got = evaluate_run({"q": {relevant: 1}}, run, ["RR", "RR@3", "RR@2", "P@1"])
    assert got.mean("RR") == pytest.approx(1 / rank)
    assert got.mean("RR@3") == got.mean("RR")
    assert got.mean("RR@2") == (got.mean("RR") if rank <= 2 else 0.0)
    assert got.mean("P@1") == (1.0 if rank == 1 else 0.0)


@pytest.mark.parametrize(("relevant", "rank"), [("b", 1), ("a", 2)])
def test_scores_are_compared_as_float32(relevant: str, rank: int) -> None:
    run = {"q": hits(("a", 16777217.0), ("b", 16777216.0))}
    got = evaluate_run({"q": {relevant: 1}}, run, ["RR", "RR@5"])
    assert got.mean("RR") == got.mean("RR@5") == 1 / rank


def test_what_is_shown_is_what_is_measured() -> None:
    scores = {"a": 0.1, "b": 0.1 + 1e-12, "c": 0.1, "d": 7.0}
    order = [hit.doc_id for hit in ranked(scores)]
    for rank, doc_id in enumerate(order, start=1):
        run = {"q": [Hit(d, s) for d, s in scores.items()]}
        assert evaluate_run({"q": {doc_id: 1}}, run, ["RR"]).mean("RR") == 1 / rank


@pytest.mark.parametrize("cutoff", [1, 3, 7, 10, 49, 98, 103, 107, 161, 200])
def test_a_cutoff_admits_its_own_rank_and_no_later_one(cutoff: int) -> None:
    run = {"q": hits(*((f"d{rank:03}", 1000.0 - rank) for rank in range(1, 210)))}
    at = evaluate_run({"q": {f"d{cutoff:03}": 1}}, run, [f"RR@{cutoff}"])
    after = evaluate_run({"q": {f"d{cutoff + 1:03}": 1}}, run, [f"RR@{cutoff}"])
    assert (at.mean(f"RR@{cutoff}"), after.mean(f"RR@{cutoff}")) == (1 / cutoff, 0.0)


# --- the query's own note ----------------------------------------------------------------------


def test_the_query_itself_is_no_hit_and_never_relevant() -> None:
    qrels = {"p1": {"p1": 1, "p2": 1}, "p3": {"p3": 1}}
    run = {"p1": hits(("p1", 9.0), ("p2", 8.0)), "p3": hits(("p3", 9.0))}
    got = evaluate_run(qrels, run, ["RR", "R@10", "nDCG@10"])
    assert dict(got.per_query["p1"]) == {"RR": 1.0, "R@10": 1.0, "nDCG@10": 1.0}
    assert dict(got.per_query["p3"]) == {"RR": 0.0, "R@10": 0.0, "nDCG@10": 0.0}


def test_the_query_itself_counts_where_asked_to() -> None:
    run = {"p1": hits(("p1", 9.0), ("p2", 8.0))}
    qrels = {"p1": {"p1": 1, "p2": 1}}
    got = evaluate_run(qrels, run, ["P@2"], exclude_self=False)
    assert got.mean("P@2") == 1.0
    assert evaluate_run(qrels, run, ["P@2"]).mean("P@2") == 0.5


def test_arguments_are_left_as_they_were() -> None:
    qrels = {"p1": {"p1": 1, "p2": 1}}
    run = {"p1": hits(("p1", 9.0), ("p2", 8.0))}
    evaluate_run(qrels, run, DEFAULT_MEASURES, ranks={"p1": 1})
    assert qrels == {"p1": {"p1": 1, "p2": 1}}
    assert run == {"p1": hits(("p1", 9.0), ("p2", 8.0))}


# --- ranks counted by the engine ---------------------------------------------------------------


def test_exact_ranks_stand_in_for_rr_and_nothing_else() -> None:
    ranks = {"q1": 4321, "q2": None, "stranger": 1}
    plain = evaluate_run(QRELS, RUN, ["RR", "RR@10", "RR(rel=2)", "P@2"])
    exact = evaluate_run(QRELS, RUN, ["RR", "RR@10", "RR(rel=2)", "P@2"], ranks=ranks)
    assert exact.values("RR") == [1 / 4321, 0.0, 0.0]
    for other in ("RR@10", "RR(rel=2)", "P@2"):
        assert exact.values(other) == plain.values(other)
    assert list(exact.per_query) == list(QRELS)


def test_queries_without_a_rank_keep_the_value_of_the_run() -> None:
    got = evaluate_run(QRELS, RUN, ["RR"], ranks={"q1": 1})
    assert got.values("RR") == [1.0, 0.5, 0.0]


def test_ranks_without_rr_change_nothing() -> None:
    with_ranks = evaluate_run(QRELS, RUN, ["P@2"], ranks={"q1": 1})
    assert with_ranks == evaluate_run(QRELS, RUN, ["P@2"])


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(EvaluationError, match="rank below 1"):
        evaluate_run(QRELS, RUN, ["RR"], ranks={"q1": 0})


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("qrels", "run"), [({}, RUN), (QRELS, {}), (QRELS, {"other": []})])
def test_nothing_judged_is_an_error(qrels: Qrels, run: Run) -> None:
    with pytest.raises(EvaluationError, match="none of the queries") as caught:
        evaluate_run(qrels, run, ["RR"])
    assert "split" in (caught.value.hint or "")


def test_a_note_listed_twice_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="twice for query `q1`"):
        evaluate_run(QRELS, {"q1": hits(("a", 1.0), ("a", 2.0))}, ["RR"])


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no number for query `q1`"):
        evaluate_run(QRELS, {"q1": hits(("a", math.nan))}, ["RR"])


def test_a_measure_not_computed_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="`AP` was not computed") as caught:
        evaluate_run(QRELS, RUN, ["RR"]).mean("AP")
    assert "RR" in (caught.value.hint or "")


# --- against trec_eval and ir_measures ---------------------------------------------------------

DOCS = [f"d{number}" for number in range(12)]
SCORES = st.one_of(
    st.sampled_from([0.5, 1.0, 16777216.0, 16777217.0]),
    st.floats(min_value=-1e6, max_value=1e6, allow_nan=False),
)
QUERY_IDS = st.sampled_from(["q1", "q2", "q3", "q4"])
SOME_QRELS = st.dictionaries(
    QUERY_IDS,
    st.dictionaries(st.sampled_from(DOCS), st.integers(-1, 3), min_size=1),
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
        positive = {doc_id: max(grade, 0) for doc_id, grade in judged.items()}
        value = linear_ndcg(positive, trec_order(run.get(query_id, [])), 10)
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


# --- searchers ---------------------------------------------------------------------------------


class Listed:
    """A searcher that knows the whole ranking of every query, and what it was asked."""

    def __init__(self, scores: dict[str, dict[str, float]]) -> None:
        self.scores = scores
        self.asked: list[tuple[list[str], int, Filter | None]] = []

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        self.asked.append(([query.query_id for query in queries], k, where))
        return [ranked(self.scores.get(query.query_id, {}))[:k] for query in queries]


class Ranking(Listed):
    """The same, which can count ranks too."""

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        filters = where or [None] * len(queries)
        answers: list[list[int | None]] = []
        for query, wanted, only in zip(queries, doc_ids, filters, strict=True):
            excluded = only.exclude_ids if only else frozenset()
            order = [hit.doc_id for hit in ranked(self.scores.get(query.query_id, {}))]
            left = [doc_id for doc_id in order if doc_id not in excluded]
            answers.append([left.index(doc) + 1 if doc in left else None for doc in wanted])
        return answers


def queries(*ids: str) -> list[Query]:
    return [Query(query_id, f"invented words of {query_id}") for query_id in ids]


LONG = {"p0": {f"p{number}": 100.0 - number for number in range(50)}}


def test_the_fakes_are_what_they_say() -> None:
    assert isinstance(Listed({}), Searcher)
    assert not isinstance(Listed({}), RankingSearcher)
    assert isinstance(Ranking({}), RankingSearcher)


def test_the_run_is_cut_after_the_query_itself_is_dropped() -> None:
    searcher = Listed(LONG)
    _, run, _ = evaluate_searcher(searcher, queries("p0"), {"p0": {"p5": 1}}, ["P@5"], depth=5)
    assert [hit.doc_id for hit in run["p0"]] == ["p1", "p2", "p3", "p4", "p5"]
    assert searcher.asked == [(["p0"], 6, None)]


def test_the_run_is_cut_where_the_query_itself_is_no_hit() -> None:
    scores = {"other": LONG["p0"]}
    _, run, _ = evaluate_searcher(
        Listed(scores), queries("other"), {"other": {"p5": 1}}, ["P@5"], depth=5
    )
    assert [hit.doc_id for hit in run["other"]] == ["p0", "p1", "p2", "p3", "p4"]


def test_the_query_itself_stays_where_asked_to() -> None:
    searcher = Ranking(LONG)
    got, run, _ = evaluate_searcher(
        searcher, queries("p0"), {"p0": {"p0": 1}}, ["RR", "P@5"], depth=5, exclude_self=False
    )
    assert [hit.doc_id for hit in run["p0"]] == ["p0", "p1", "p2", "p3", "p4"]
    assert searcher.asked == [(["p0"], 5, None)]
    assert (got.mean("RR"), got.mean("P@5")) == (1.0, 0.2)


def test_a_ranking_searcher_gives_rr_beyond_the_depth() -> None:
    qrels = {"p0": {"p40": 1, "p30": 2, "p3": 0, "absent": 1, "p0": 1}}
    exact, _, _ = evaluate_searcher(Ranking(LONG), queries("p0"), qrels, ["RR", "P@5"], depth=5)
    # p0 itself holds no rank: p30 comes 30th among the others.
    assert exact.mean("RR") == 1 / 30
    plain, _, _ = evaluate_searcher(Listed(LONG), queries("p0"), qrels, ["RR", "P@5"], depth=5)
    assert plain.mean("RR") == 0.0
    assert plain.mean("P@5") == exact.mean("P@5") == 0.0


def test_a_ranking_searcher_that_finds_nothing_relevant_gives_zero() -> None:
    got, _, _ = evaluate_searcher(
        Ranking(LONG), queries("p0"), {"p0": {"absent": 1}}, ["RR"], depth=5
    )
    assert got.mean("RR") == 0.0


def test_ranks_are_not_counted_where_rr_is_not_asked_for() -> None:
    class Refusing(Ranking):
        def ranks_many(
            self,
            queries: Sequence[Query],
            doc_ids: Sequence[Sequence[str]],
            where: Sequence[Filter | None] | None = None,
        ) -> list[list[int | None]]:
            raise AssertionError

    qrels = {"p0": {"p1": 1}}
    got, _, _ = evaluate_searcher(Refusing(LONG), queries("p0"), qrels, ["RR@5"], depth=5)
    assert got.mean("RR@5") == 1.0


def test_queries_are_counted_and_the_missing_score_zero() -> None:
    searcher = Listed({"a": {"x": 1.0}, "b": {"x": 1.0}, "free": {"x": 1.0}})
    qrels = {"a": {"x": 1}, "b": {"y": 1}, "gone": {"x": 1}, "lost": {"x": 1}}
    got, run, counts = evaluate_searcher(searcher, queries("a", "free", "b"), qrels, ["R@10"])
    assert counts == Counts(judged=4, unjudged_dropped=1, missing_queries=2)
    assert run.keys() == {"a", "b"}
    assert got.mean("R@10") == 1 / 4
    assert dict(got.per_query["gone"]) == {"R@10": 0.0}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches_change_nothing_but_the_progress(batch: int) -> None:
    ids = [f"p{number}" for number in range(7)]
    scores = dict.fromkeys(ids, LONG["p0"])
    qrels = {query_id: {"p20": 1} for query_id in ids}
    steps: list[int] = []
    searcher = Ranking(scores)
    got, run, _ = evaluate_searcher(
        searcher,
        queries(*ids),
        qrels,
        ["RR", "P@10"],
        depth=10,
        batch=batch,
        on_progress=steps.append,
    )
    whole = evaluate_searcher(Ranking(scores), queries(*ids), qrels, ["RR", "P@10"], depth=10)
    assert (got, run) == whole[:2]
    assert sum(steps) == 7
    assert max(steps) <= batch
    assert [len(asked) for asked, _, _ in searcher.asked] == steps


def test_a_searcher_and_its_run_score_alike() -> None:
    ids = [f"p{number}" for number in range(9)]
    rng = np.random.default_rng(3)
    scores = {q: {d: float(rng.integers(1, 5)) for d in DOCS + ids} for q in ids}
    qrels = {q: {d: int(rng.integers(0, 3)) for d in DOCS} for q in ids}
    got, run, _ = evaluate_searcher(Ranking(scores), queries(*ids), qrels, DEFAULT_MEASURES)
    again = evaluate_run(qrels, run, DEFAULT_MEASURES)
    assert isinstance(again, Evaluation)
    assert got == again


def test_a_depth_that_a_measure_reads_beyond_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1000 hits a query are needed"):
        evaluate_searcher(
            Listed(LONG), queries("p0"), {"p0": {"p1": 1}}, DEFAULT_MEASURES, depth=100
        )


@pytest.mark.parametrize("setting", [{"depth": 0}, {"batch": 0}])
def test_settings_below_one_are_refused(setting: dict[str, int]) -> None:
    searcher = Listed(LONG)
    with pytest.raises(EvaluationError, match="1 or more"):
        evaluate_searcher(
            searcher,
            queries("p0"),
            {"p0": {"p1": 1}},
            ["RR"],
            depth=setting.get("depth", 5),
            batch=setting.get("batch", 5),
        )


def test_a_query_given_twice_is_refused() -> None:
    with pytest.raises(EvaluationError, match="given twice"):
        evaluate_searcher(Listed(LONG), queries("p0", "p0"), {"p0": {"p1": 1}}, ["RR"])


def test_no_judged_query_is_an_error_before_anything_is_searched() -> None:
    searcher = Listed(LONG)
    with pytest.raises(EvaluationError, match="none of the queries") as caught:
        evaluate_searcher(searcher, queries("p0"), {"other": {"p1": 1}}, ["RR"])
    assert caught.value.hint
    assert searcher.asked == []
