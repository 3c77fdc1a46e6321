"""Runs against pencil and paper: missing queries, ties, the query itself, exact ranks."""

import math

import pytest

from evaluator import DEFAULT_MEASURES, evaluate_run
from patientdx.errors import EvaluationError
from patientdx.records import Hit, Qrels, Run, ranked


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


def test_negative_grades_are_no_judgements() -> None:
    # pytrec_eval 0.5.11 never returns from nDCG of these judgements as they are.
    qrels = {
        "q1": {"d1": 0, "d5": 2, "d0": 2, "d2": -1, "d9": 3, "d3": 1},
        "q2": {"d5": 1, "d2": -1, "d4": 2, "d6": 0, "d1": 3},
        "q3": {"d6": -1},
        "q4": {"d4": -2, "d5": 1},
    }
    run = {query_id: hits(("d6", 3.0), ("d4", 2.0), ("d2", 1.0)) for query_id in qrels}
    names = ["RR", "nDCG", "nDCG@10", "R@10", "AP", "Bpref", "P(judged_only=True)@2"]
    without = {q: {d: g for d, g in judged.items() if g >= 0} for q, judged in qrels.items()}
    got = evaluate_run(qrels, run, names)
    assert got == evaluate_run(without, run, names)
    assert got.mean("RR") == 1 / 2 / 4


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


def test_the_query_itself_is_no_hit_and_never_relevant_where_it_is_excluded() -> None:
    qrels = {"p1": {"p1": 1, "p2": 1}, "p3": {"p3": 1}}
    run = {"p1": hits(("p1", 9.0), ("p2", 8.0)), "p3": hits(("p3", 9.0))}
    got = evaluate_run(qrels, run, ["RR", "R@10", "nDCG@10"], exclude_self=True)
    assert dict(got.per_query["p1"]) == {"RR": 1.0, "R@10": 1.0, "nDCG@10": 1.0}
    assert dict(got.per_query["p3"]) == {"RR": 0.0, "R@10": 0.0, "nDCG@10": 0.0}


def test_a_note_with_the_id_of_the_query_counts_unless_it_is_excluded() -> None:
    run = {name: hits(("p1", 9.0), ("p2", 8.0)) for name in ("p1", "p2")}
    qrels = {"p1": {"p1": 1, "p2": 1}, "p2": {"p1": 1, "p2": 1}}
    assert evaluate_run(qrels, run, ["P@2"]).values("P@2") == [1.0, 1.0]
    assert evaluate_run(qrels, run, ["P@2"], exclude_self=True).values("P@2") == [0.5, 0.5]
    assert evaluate_run(qrels, run, ["P@2"], exclude_self={"p2"}).values("P@2") == [1.0, 0.5]


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


@pytest.mark.parametrize("grade", [1001, 2**31, 2**63])
def test_a_grade_that_trec_eval_cannot_hold_is_an_error(grade: int) -> None:
    with pytest.raises(EvaluationError, match="`q2` has a grade above 1000"):
        evaluate_run({"q1": {"a": 1000}, "q2": {"a": grade}}, RUN, ["RR"])


def test_scores_without_end_are_ordered_too() -> None:
    run = {"q": hits(("a", -math.inf), ("b", 0.0), ("c", math.inf), ("d", 1e300))}
    # 1e300 is infinite as float32: a tie with c, which d wins.
    for rank, doc_id in enumerate("dcba", start=1):
        assert evaluate_run({"q": {doc_id: 1}}, run, ["RR"]).mean("RR") == 1 / rank


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no number for query `q1`"):
        evaluate_run(QRELS, {"q1": hits(("a", math.nan))}, ["RR"])


def test_a_measure_not_computed_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="`AP` was not computed") as caught:
        evaluate_run(QRELS, RUN, ["RR"]).mean("AP")
    assert "RR" in (caught.value.hint or "")


def test_a_run_may_be_scores_by_document() -> None:
    qrels = {"q1": {"d1": 1, "d2": 2}, "q2": {"d1": 1}}
    scores = {"q1": {"d1": 1.0, "d2": 0.5, "other": 0.75}, "q2": {"other": 2.0, "d1": 1.0}}
    run = {query_id: ranked(hits) for query_id, hits in scores.items()}
    measures = ["RR", "nDCG@10"]
    assert evaluate_run(qrels, scores, measures) == evaluate_run(qrels, run, measures)
    assert evaluate_run({"q1": {"d1": 1}}, {"q1": {"d1": 1.0}}, ["RR"]).mean("RR") == 1.0
