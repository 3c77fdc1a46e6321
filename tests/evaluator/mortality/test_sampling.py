"""Stratified samples of stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluator.mortality.sampling import sample_stratified

OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=80)


@given(OUTCOMES, st.integers(1, 90), st.integers(0, 5))
def test_a_sample_is_of_the_size_asked_for_and_keeps_the_share(
    died: list[bool], count: int, seed: int
) -> None:
    places = sample_stratified(died, count, seed)
    assert places == sorted(set(places))
    assert len(places) == min(count, len(died))
    deaths = sum(died[place] for place in places)
    assert abs(deaths - len(places) * sum(died) / len(died)) <= 1
    if len(places) > 1:
        assert (deaths > 0) == any(died)
        assert (deaths < len(places)) == (not all(died))


@given(OUTCOMES, st.integers(1, 90), st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller_one_but_for_rounding(
    died: list[bool], count: int, seed: int
) -> None:
    small, large = (set(sample_stratified(died, size, seed)) for size in (count, count + 1))
    assert len(small - large) <= 1


def test_every_stay_has_the_same_chance_within_its_outcome() -> None:
    died = np.arange(20) < 5
    counts = np.zeros(20)
    for seed in range(4_000):
        counts[sample_stratified(died, 8, seed)] += 1
    assert np.allclose(counts, 4_000 * 0.4, atol=5 * np.sqrt(4_000 * 0.24))
