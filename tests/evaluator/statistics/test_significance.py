"""Tests of significance: against brute force, scipy, statsmodels and ranx, and their promises."""

import math
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluator.statistics.significance import (
    EXACT_PAIRS,
    holm,
    paired_differences,
    randomisation_test,
    t_test,
)
from patientdx.errors import EvaluationError

ZERO_TO_TEN = st.integers(0, 10)
PAIRS = st.lists(st.tuples(ZERO_TO_TEN, ZERO_TO_TEN), min_size=1, max_size=9)
MANY_PAIRS = st.lists(st.tuples(ZERO_TO_TEN, ZERO_TO_TEN), min_size=30, max_size=60)
P_VALUES = st.lists(st.floats(0, 1), max_size=8)


def columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


def tenths(values: Sequence[float]) -> list[float]:
    """The same values a tenth as large, which float64 can only round."""
    return [value / 10 for value in values]


def near(share: float, draws: int) -> float:
    """Four standard errors of a share of that many draws."""
    return 4 * math.sqrt(share * (1 - share) / draws) + 2 / draws


@given(PAIRS)
def test_few_pairs_are_counted_exactly(pairs: list[tuple[int, int]]) -> None:
    differences = [a - b for a, b in pairs]
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    share = Fraction(sum(total >= abs(sum(differences)) for total in sums), len(sums))
    for scaled in (columns(pairs), tuple(map(tenths, columns(pairs)))):
        p, exact = randomisation_test(*scaled)
        assert (Fraction(p), exact) == (share, True)


@given(MANY_PAIRS)
@settings(max_examples=30)
def test_rounding_does_not_part_what_ties(pairs: list[tuple[int, int]]) -> None:
    system, baseline = columns(pairs)
    whole = randomisation_test(system, baseline, permutations=999)
    assert randomisation_test(tenths(system), tenths(baseline), permutations=999) == whole
    shares = [value / 7 + 1 for value in system], [value / 7 + 1 for value in baseline]
    assert randomisation_test(*shares, permutations=999) == whole


def test_a_sum_that_rounding_makes_smaller_is_as_extreme() -> None:
    # In float64, 0.1 + 0.2 > 0.3: the sum with signs + + - is 5.6e-17, with - - + as much.
    system, baseline = [0.1, 0.2, 0.0], [0.0, 0.0, 0.3]
    assert randomisation_test(system, baseline).p == 1.0


@pytest.mark.parametrize("pairs", [3, 8, 12])
def test_exact_values_are_those_of_scipy(pairs: int) -> None:
    # scipy is there wherever pytrec_eval is, which needs it.
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(pairs)
    system, baseline = rng.random(pairs), rng.random(pairs)
    theirs = stats.permutation_test(
        (system, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert randomisation_test(system, baseline).p == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05])
def test_sampled_values_are_those_of_scipy(shift: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(8)
    baseline = rng.beta(0.4, 2, 150)
    system = baseline + rng.normal(shift, 0.2, 150)
    theirs = stats.permutation_test(
        (system, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        batch=500,
        rng=np.random.default_rng(1),
    ).pvalue
    ours, exact = randomisation_test(system, baseline, permutations=20_000)
    assert not exact
    assert ours == pytest.approx(theirs, abs=1.5 * near(theirs, 20_000))


@pytest.mark.parametrize("wins", [25, 31, 36, 44])
def test_with_equal_sizes_it_is_the_sign_test(wins: int) -> None:
    """The randomisation distribution of +-1 is binomial, which scipy knows exactly."""
    stats = pytest.importorskip("scipy.stats")
    system, baseline = [1.0] * wins + [0.0] * (50 - wins), [0.0] * wins + [1.0] * (50 - wins)
    truth = stats.binomtest(wins, 50).pvalue
    ours = randomisation_test(system, baseline, permutations=50_000).p
    assert ours == pytest.approx(truth, abs=near(truth, 50_000))


def test_sampled_values_are_those_of_ranx() -> None:
    reason = "ranx comes with the extra `report`, which CI does not install"
    fisher = pytest.importorskip("ranx.statistical_tests.fisher_randomization_test", reason=reason)
    student = pytest.importorskip("ranx.statistical_tests.paired_student_t_test", reason=reason)
    rng = np.random.default_rng(4)
    baseline = rng.beta(0.4, 2, 80)
    system = baseline + rng.normal(0.02, 0.1, 80)
    theirs, _ = fisher.fisher_randomization_test(baseline, system, n_permutations=20_000)
    ours = randomisation_test(system, baseline, permutations=20_000).p
    assert ours == pytest.approx(theirs, abs=1.5 * near(theirs, 20_000))
    theirs, _ = student.paired_student_t_test(baseline, system)
    assert t_test(system, baseline).p == pytest.approx(theirs, rel=1e-9)


@given(st.one_of(PAIRS, MANY_PAIRS), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_queries_and_of_systems_changes_nothing(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    system, baseline = map(tenths, columns(pairs))
    tested = randomisation_test(system, baseline, permutations=500)
    assert randomisation_test(baseline, system, permutations=500) == tested
    t, p = t_test(system, baseline)
    assert t_test(baseline, system) == pytest.approx((-t, p), nan_ok=True)
    shuffled = list(zip(system, baseline, strict=True))
    random.shuffle(shuffled)
    assert randomisation_test(*columns(shuffled), permutations=500) == tested


@given(st.one_of(PAIRS, MANY_PAIRS), st.integers(-5, 5), st.sampled_from([0.5, 2.0, 8.0]))
@settings(max_examples=60)
def test_shifting_both_and_scaling_change_nothing(
    pairs: list[tuple[int, int]], shift: int, scale: float
) -> None:
    system, baseline = columns(pairs)
    changed = [(value + shift) * scale for value in system]
    against = [(value + shift) * scale for value in baseline]
    tested = randomisation_test(system, baseline, permutations=500)
    assert randomisation_test(changed, against, permutations=500) == tested
    assert t_test(changed, against) == pytest.approx(t_test(system, baseline), nan_ok=True)


def test_queries_without_a_difference_do_not_count() -> None:
    rng = np.random.default_rng(0)
    system, baseline = rng.random(40), rng.random(40)
    same = rng.random(1000)
    alone = randomisation_test(system, baseline, permutations=2000)
    assert alone == randomisation_test(
        np.concatenate([same, system]), np.concatenate([same, baseline]), permutations=2000
    )


def test_where_nothing_differs_p_is_one() -> None:
    values = [0.1, 0.5, 0.7]
    assert randomisation_test(values, values) == (1.0, True)
    assert t_test(values, values) == (0.0, 1.0)


def test_sampling_starts_beyond_twenty_differing_pairs() -> None:
    zeros = [0.0] * 50
    assert randomisation_test([1.0] * EXACT_PAIRS + [0.0] * 30, zeros) == (2.0 ** (1 - 20), True)
    p, exact = randomisation_test([1.0] * 21 + [0.0] * 29, zeros, permutations=99)
    assert (p, exact) == (1 / 100, False)


def test_the_seed_decides_the_sample() -> None:
    rng = np.random.default_rng(5)
    system, baseline = rng.random(60), rng.random(60)
    drawn = [randomisation_test(system, baseline, permutations=5000, seed=s).p for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("test", ["randomisation", "student"])
def test_the_null_is_rejected_as_seldom_as_promised(test: str) -> None:
    rng = np.random.default_rng(6)
    trials, rejected = 500, 0
    for _ in range(trials):
        values = rng.normal(0, 1, (2, 40))
        made = randomisation_test(*values, permutations=999) if test[0] == "r" else t_test(*values)
        rejected += made.p <= 0.05
    assert rejected / trials == pytest.approx(0.05, abs=near(0.05, trials))


def test_memory_does_not_grow_with_the_queries() -> None:
    rng = np.random.default_rng(0)
    system, baseline = rng.random(2900), rng.random(2900)
    tracemalloc.start()
    try:
        randomisation_test(system, baseline, permutations=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40))
def test_t_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    system, baseline = columns(pairs)
    differences = paired_differences(system, baseline)
    # Of nearly equal differences, scipy warns that digits are lost.
    assume(np.std(differences) > 1e-6 * np.max(np.abs(differences)))
    theirs = stats.ttest_rel(system, baseline)
    assert t_test(system, baseline) == pytest.approx(
        (theirs.statistic, theirs.pvalue), rel=1e-6, abs=1e-12
    )


def test_t_at_its_edges() -> None:
    assert t_test([0.5, 0.75], [0.25, 0.5]) == (math.inf, 0.0)
    assert t_test([0.25, 0.5], [0.5, 0.75]) == (-math.inf, 0.0)
    assert all(map(math.isnan, t_test([0.5], [0.25])))
    assert t_test([0.5], [0.5]) == (0.0, 1.0)


def test_rounding_noise_is_no_difference() -> None:
    noisy = [0.1 + 0.2, 1.0, 0.0]
    assert paired_differences(noisy, [0.3, 1.0, 1e-9]).tolist() == [0.0, 0.0, -1e-9]


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(ps: list[float], level: float) -> None:
    left = sorted(range(len(ps)), key=lambda i: ps[i])
    rejected = set()
    while left and ps[left[0]] * len(left) <= level:
        rejected.add(left.pop(0))
    corrected = holm(ps)
    assert {i for i, p in enumerate(corrected) if p <= level} == rejected
    assert all(p <= q <= 1 for p, q in zip(ps, corrected, strict=True))


@given(P_VALUES.filter(len))
def test_holm_is_that_of_statsmodels(ps: list[float]) -> None:
    reason = "statsmodels is no dependency; pip install statsmodels runs this"
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason=reason)
    assert holm(ps) == pytest.approx(multitest.multipletests(ps, method="holm")[1].tolist())


def test_what_could_not_be_tested_does_not_count_in_a_family() -> None:
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[0::2] == [0.02, 0.04]
    assert math.isnan(corrected[1])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("system", "baseline", "message"),
    [
        ([], [], "one query or more"),
        ([0.1], [0.1, 0.2], "two values for each"),
        ([0.1, math.nan], [0.1, 0.2], "finite"),
        ([0.1, 0.2], [math.inf, 0.2], "finite"),
    ],
)
def test_what_cannot_be_paired_is_an_error(
    system: list[float], baseline: list[float], message: str
) -> None:
    for test in (paired_differences, randomisation_test, t_test):
        with pytest.raises(EvaluationError, match=message):
            test(system, baseline)


def test_settings_out_of_range_are_errors() -> None:
    with pytest.raises(EvaluationError, match="one permutation or more"):
        randomisation_test([0.1], [0.2], permutations=0)
    for wrong in (-0.1, 1.1):
        with pytest.raises(EvaluationError, match="between 0 and 1"):
            holm([0.5, wrong])
