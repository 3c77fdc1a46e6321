"""Systems against a baseline: what a comparison holds, and families of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evaluations import evaluation, made

from evaluator import bootstrap_interval
from evaluator.retrieval.comparison import (
    Comparison,
    ComparisonSettings,
    compare_pair,
    compare_systems,
    correct_p_values,
    query_differences,
)
from evaluator.retrieval.evaluation import Evaluation
from evaluator.statistics.significance import holm, randomisation_test, t_test
from patientdx.errors import EvaluationError

FEW = ComparisonSettings(permutations=300, resamples=200)
EIGHTHS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40)


def test_a_comparison_holds_what_the_parts_compute() -> None:
    both = made()
    got = compare_pair(both["rrf"], both["bm25"], "AP", names=("rrf", "bm25"), settings=FEW)
    ours, theirs = both["rrf"].values("AP"), both["bm25"].values("AP")
    differences = np.array(ours) - np.array(theirs)
    assert (got.system, got.baseline, got.measure, got.n) == ("rrf", "bm25", "AP", 40)
    assert got.difference == pytest.approx(both["rrf"].mean("AP") - both["bm25"].mean("AP"))
    assert (got.wins, got.ties, got.losses) == ((differences > 0).sum(), 0, (differences < 0).sum())
    tested = randomisation_test(ours, theirs, permutations=300)
    assert (got.p_randomisation, got.exact) == tested
    assert (got.t, got.p_t) == t_test(ours, theirs)
    assert got.interval == bootstrap_interval(np.sort(differences), resamples=200)
    assert got.interval.low < got.difference < got.interval.high
    assert (got.holm_randomisation, got.holm_t, got.family) == (None, None, None)


def test_wins_ties_and_losses_are_those_of_the_system() -> None:
    got = compare_pair(
        evaluation([1.0, 0.1 + 0.2, 0.5, 0.9]), evaluation([0.5, 0.3, 0.75, 0.25]), "nDCG@10"
    )
    assert (got.wins, got.ties, got.losses) == (2, 1, 1)
    assert got.exact
    assert got.difference == pytest.approx((0.5 - 0.25 + 0.65) / 4)


@given(EIGHTHS)
@settings(max_examples=50)
def test_exchanging_the_systems_turns_the_sign(pairs: list[tuple[int, int]]) -> None:
    a = evaluation([x / 8 for x, _ in pairs])
    b = evaluation([y / 8 for _, y in pairs])
    there, back = (compare_pair(*both, "nDCG@10", settings=FEW) for both in ((a, b), (b, a)))
    assert there.difference == -back.difference
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    assert there.p_randomisation == back.p_randomisation
    assert (there.t, there.p_t) == pytest.approx((-back.t, back.p_t), nan_ok=True)


@given(EIGHTHS, st.integers(-4, 4))
@settings(max_examples=50)
def test_a_constant_added_to_both_changes_nothing(
    pairs: list[tuple[int, int]], constant: int
) -> None:
    plain, changed = (
        compare_pair(
            evaluation([x / 8 + add for x, _ in pairs]),
            evaluation([y / 8 + add for _, y in pairs]),
            "nDCG@10",
            settings=FEW,
        )
        for add in (0, constant)
    )
    assert repr(plain) == repr(changed)  # nan is not equal to nan


def test_the_order_of_queries_changes_nothing() -> None:
    both = made()
    plain = compare_pair(both["rrf"], both["bm25"], "AP", settings=FEW)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation([*both["bm25"].per_query])
        turned = [
            replace(evaluation, per_query={q: evaluation.per_query[q] for q in order})
            for evaluation in both.values()
        ]
        assert compare_pair(turned[2], turned[0], "AP", settings=FEW) == plain
        assert compare_pair(both["rrf"], turned[0], "AP", settings=FEW) == plain


def test_a_system_is_no_better_than_itself() -> None:
    same = made()["rrf"]
    got = compare_pair(same, same, "RR", settings=FEW)
    assert (got.difference, got.interval, got.ties) == (0.0, (0.0, 0.0), 40)
    assert (got.p_randomisation, got.p_t) == (1.0, 1.0)


def test_every_other_system_is_compared_on_every_measure() -> None:
    got = compare_systems(made(), dataset="made", settings=FEW)
    assert [(comparison.measure, comparison.system) for comparison in got] == [
        ("RR", "rm3"),
        ("RR", "rrf"),
        ("AP", "rm3"),
        ("AP", "rrf"),
    ]
    assert {(comparison.baseline, comparison.dataset) for comparison in got} == {("bm25", "made")}
    named = compare_systems(made(), baseline="rm3", measures=["AP"], settings=FEW)
    assert [(candidate.system, candidate.baseline) for candidate in named] == [
        ("bm25", "rm3"),
        ("rrf", "rm3"),
    ]


def test_what_else_is_compared_does_not_change_a_comparison() -> None:
    both = made()
    alone = compare_systems({"bm25": both["bm25"], "rrf": both["rrf"]}, settings=FEW)
    assert [
        comparison
        for comparison in compare_systems(both, settings=FEW)
        if comparison.system == "rrf"
    ] == alone


def with_p(system: str, measure: str, dataset: str, p: float) -> Comparison:
    comparison = compare_pair(evaluation([0.5]), evaluation([0.5]), "nDCG@10", settings=FEW)
    return replace(
        comparison, system=system, measure=measure, dataset=dataset, p_randomisation=p, p_t=p / 2
    )


GIVEN = [
    with_p("rm3", "RR", "nfcorpus", 0.010),
    with_p("rrf", "RR", "nfcorpus", 0.020),
    with_p("rm3", "AP", "nfcorpus", 0.030),
    with_p("rm3", "RR", "pmc", 0.015),
]


def test_a_family_is_all_systems_and_sets_on_one_measure() -> None:
    done = correct_p_values(GIVEN)
    assert [comparison.holm_randomisation for comparison in done] == [0.03, 0.03, 0.03, 0.03]
    assert [comparison.holm_t for comparison in done] == [0.015, 0.015, 0.015, 0.015]
    assert [comparison.family for comparison in done] == [3, 3, 1, 3]
    stored = [
        replace(comparison, holm_randomisation=None, holm_t=None, family=None)
        for comparison in done
    ]
    assert stored == GIVEN


def test_the_caller_says_what_a_family_is() -> None:
    over_systems = correct_p_values(GIVEN, family_of=lambda item: (item.measure, item.dataset))
    assert [comparison.holm_randomisation for comparison in over_systems] == [
        0.02,
        0.02,
        0.03,
        0.015,
    ]
    assert [comparison.family for comparison in over_systems] == [2, 2, 1, 1]
    over_all = correct_p_values(GIVEN, family_of=lambda _: None)
    assert [comparison.holm_randomisation for comparison in over_all] == holm(
        [0.010, 0.020, 0.030, 0.015]
    )
    assert {comparison.family for comparison in over_all} == {4}


def test_one_query_has_no_t_test_and_does_not_disturb_a_family() -> None:
    comparison = compare_pair(evaluation([0.5]), evaluation([0.25]), "nDCG@10", settings=FEW)
    assert (comparison.n, comparison.wins, comparison.p_randomisation) == (1, 1, 1.0)
    assert math.isnan(comparison.p_t)
    done = correct_p_values([comparison, replace(comparison, p_t=0.5)])
    assert done[1].holm_t == 0.5


def test_differences_by_query_keep_the_order_of_the_baseline() -> None:
    system = Evaluation(("RR",), {"b": {"RR": 0.5}, "a": {"RR": 1.0}})
    baseline = Evaluation(("RR",), {"a": {"RR": 0.25}, "b": {"RR": 0.5}})
    assert list(query_differences(system, baseline, "RR").items()) == [("a", 0.75), ("b", 0.0)]


def test_other_queries_cannot_be_compared() -> None:
    with pytest.raises(EvaluationError, match="not evaluated on the same queries"):
        compare_pair(evaluation([1.0]), evaluation([1.0, 0.5]), "nDCG@10", names=("rm3", "bm25"))


def test_a_measure_that_one_lacks_cannot_be_compared() -> None:
    for pair in ((evaluation([1.0], "RR"), evaluation([1.0])), (evaluation([1.0]),) * 2):
        with pytest.raises(EvaluationError, match="was not computed"):
            compare_pair(*pair, "AP" if pair[0] is pair[1] else "nDCG@10")


def test_a_baseline_that_is_not_there_is_reported() -> None:
    with pytest.raises(EvaluationError, match="no system `bm52`") as caught:
        compare_systems(made(), baseline="bm52")
    assert caught.value.hint == "systems are bm25, rm3, rrf"
    with pytest.raises(EvaluationError, match="no system to compare with"):
        compare_systems({})
