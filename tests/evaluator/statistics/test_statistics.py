"""Bootstrap intervals: against scipy, against what they promise, and at the edges."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import Interval, bootstrap_interval
from evaluator.statistics import intervals as module
from patientdx.errors import EvaluationError


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("shape", ["skewed", "zeros and ones"])
def test_intervals_are_those_of_scipy(level: float, shape: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(11)
    skewed = shape == "skewed"
    values = rng.beta(0.4, 2, size=150) if skewed else rng.integers(0, 2, 150).astype(np.float64)
    ours = bootstrap_interval(values, level=level)
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    # Two sets of draws: the ends differ by a small part of the width.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_covers_the_truth_as_often_as_it_promises(level: float) -> None:
    rng = np.random.default_rng(2)
    trials, truth, covered = 400, 0.4, 0
    for seed in range(trials):
        values = rng.beta(2, 3, size=80)
        low, high = bootstrap_interval(values, level=level, resamples=500, seed=seed)
        covered += low <= truth <= high
    # Three standard errors of a share of 400, and one point that the bootstrap is short of.
    margin = 3 * math.sqrt(level * (1 - level) / trials) + 0.01
    assert covered / trials == pytest.approx(level, abs=margin)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = list(np.random.default_rng(0).random(40))
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)


def test_the_bound_on_memory_does_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(np.random.default_rng(0).random(33))
    whole = bootstrap_interval(values, resamples=1001)
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", 70)
    assert bootstrap_interval(values, resamples=1001) == whole


def test_more_values_than_are_drawn_at_once_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", 8)
    low, high = bootstrap_interval([0.0, 1.0] * 50, resamples=400)
    assert 0.3 < low < 0.5 < high < 0.7


def test_a_single_value_is_its_own_interval() -> None:
    assert bootstrap_interval([0.3]) == Interval(0.3, 0.3)


@pytest.mark.parametrize("count", [2, 3, 7, 1000])
def test_equal_values_give_exactly_that_value(count: int) -> None:
    assert bootstrap_interval([0.1] * count) == Interval(0.1, 0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_interval_lies_within_the_values(values: list[float], seed: int) -> None:
    low, high = bootstrap_interval(values, resamples=50, seed=seed)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


def test_a_higher_level_is_wider_and_more_queries_are_narrower() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.random(50), rng.random(5000)
    narrow, wide = bootstrap_interval(few, level=0.5), bootstrap_interval(few, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    tight = bootstrap_interval(many, resamples=500)
    assert tight.high - tight.low < (wide.high - wide.low) / 5


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "one query or more"),
        ([0.5, math.nan], {}, "finite"),
        ([0.5, math.inf], {}, "finite"),
        ([0.5], {"level": 0.0}, "level"),
        ([0.5], {"level": 1.0}, "level"),
        ([0.5], {"level": math.nan}, "level"),
    ],
)
def test_what_has_no_interval_is_an_error(
    values: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        bootstrap_interval(values, **options)


def test_no_resamples_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="resample"):
        bootstrap_interval([0.5], resamples=0)


def test_memory_is_bounded_however_many_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", 100)
    pieces = list(module._resampled_means(np.arange(30.0), 50, 0))
    assert sum(map(len, pieces)) == 50
    assert max(map(len, pieces)) * 30 <= 100
