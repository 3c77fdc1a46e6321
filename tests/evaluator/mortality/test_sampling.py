"""Uniform and stratified samples of stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.mortality.sampling import sample_stratified, sample_uniform

OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=80)


@given(OUTCOMES, st.integers(1, 90), st.integers(0, 5))
def test_a_stratified_sample_has_its_size_and_keeps_the_share_of_deaths(
    died: list[bool], count: int, seed: int
) -> None:
    positions = sample_stratified(died, count, seed)
    assert positions == sorted(set(positions))
    assert len(positions) == min(count, len(died))
    deaths = sum(died[position] for position in positions)
    assert abs(deaths - len(positions) * sum(died) / len(died)) <= 1
    if len(positions) > 1:
        assert (deaths > 0) == any(died)
        assert (deaths < len(positions)) == (not all(died))


@given(OUTCOMES, st.integers(1, 90), st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller_one_but_for_rounding(
    died: list[bool], count: int, seed: int
) -> None:
    small, large = (set(sample_stratified(died, size, seed)) for size in (count, count + 1))
    assert len(small - large) <= 1


def test_stays_of_one_outcome_are_equally_likely() -> None:
    died = np.arange(20) < 5
    counts = np.zeros(20)
    for seed in range(4_000):
        counts[sample_stratified(died, 8, seed)] += 1
    assert np.allclose(counts, 4_000 * 0.4, atol=5 * np.sqrt(4_000 * 0.24))


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("rare", [True, False])
def test_a_sample_has_both_outcomes_where_rounding_would_drop_the_rare_one(
    rare: bool, count: int
) -> None:
    outcomes = [rare] + [not rare] * 999
    assert round(count * 1 / 1000) == 0
    for seed in range(20):
        drawn = [outcomes[position] for position in sample_stratified(outcomes, count, seed)]
        assert (len(drawn), drawn.count(rare)) == (count, 1)


def test_a_sample_of_one_stay_has_the_common_outcome() -> None:
    assert sample_stratified([True] + [False] * 9, 1, seed=0) != [0]
    assert sample_stratified([False] + [True] * 9, 1, seed=0) != [0]


@pytest.mark.parametrize("outcome", [True, False])
def test_a_sample_of_one_outcome_only(outcome: bool) -> None:
    assert len(sample_stratified([outcome] * 20, 5, seed=0)) == 5
    assert sample_stratified([outcome] * 3, 5, seed=0) == [0, 1, 2]


def test_a_uniform_sample() -> None:
    assert sample_uniform(4, None, seed=0) == sample_uniform(4, 9, seed=0) == [0, 1, 2, 3]
    counts = np.zeros(20)
    for seed in range(4_000):
        positions = sample_uniform(20, 8, seed)
        assert positions == sorted(set(positions))
        counts[positions] += 1
    assert np.allclose(counts, 4_000 * 0.4, atol=5 * np.sqrt(4_000 * 0.24))
