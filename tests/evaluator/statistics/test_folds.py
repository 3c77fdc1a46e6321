"""Folds: a partition that is even, seeded, and keeps groups together."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import Folds
from patientdx.errors import EvaluationError

IDS = st.lists(st.text(max_size=4), min_size=5, max_size=40, unique=True)


@given(IDS, st.integers(2, 5), st.integers(0, 2**32))
def test_every_query_has_a_fold_and_folds_are_even(ids: list[str], number: int, seed: int) -> None:
    dealt = Folds(number, seed).assign(ids)
    assert dealt.keys() == set(ids)
    sizes = Counter(dealt.values())
    assert set(sizes) == set(range(number))
    assert max(sizes.values()) - min(sizes.values()) <= 1


@given(IDS, st.randoms(use_true_random=False))
def test_the_order_of_queries_changes_nothing(ids: list[str], random: Random) -> None:
    shuffled = random.sample(ids, len(ids))
    assert Folds(3, 1).assign(shuffled) == Folds(3, 1).assign(ids)


@given(IDS, st.data())
def test_groups_stay_together(ids: list[str], data: st.DataObject) -> None:
    names = st.sampled_from(["", "a", ids[0], ids[1]])
    groups = {query_id: data.draw(names) for query_id in ids if data.draw(st.booleans())}
    count = len(set(groups.values())) + len(ids) - len(groups)
    if count < 2:
        return
    dealt = Folds(2, 0, groups).assign(ids)
    assert dealt.keys() == set(ids)
    assert set(dealt.values()) == {0, 1}
    for group in set(groups.values()):
        assert len({dealt[query_id] for query_id in ids if groups.get(query_id) == group}) == 1
    # Greedy dealing: folds differ by no more than the largest group.
    largest = max([1, *Counter(groups.values()).values()])
    sizes = Counter(dealt.values())
    assert abs(sizes[0] - sizes[1]) <= largest


def test_a_lone_query_is_not_in_the_group_that_bears_its_id() -> None:
    dealt = Folds(2, 0, {"b": "a", "c": "a"}).assign(["a", "b", "c"])
    assert dealt["b"] == dealt["c"] != dealt["a"]


def test_the_seed_decides() -> None:
    ids = [f"q{i}" for i in range(100)]
    first, again, other = (Folds(5, seed).assign(ids) for seed in (0, 0, 1))
    assert first == again != other
    # By chance a fifth would stay.
    assert 5 < sum(first[query_id] == other[query_id] for query_id in ids) < 40


@pytest.mark.parametrize(
    ("ids", "folds"),
    [
        (["a", "b"], Folds(1)),
        (["a", "b"], Folds(3)),
        ([], Folds(2)),
        (["a", "b", "c"], Folds(2, 0, dict.fromkeys("abc", "same"))),
    ],
)
def test_too_few_are_not_dealt(ids: list[str], folds: Folds) -> None:
    with pytest.raises(EvaluationError, match=f"for {folds.number} folds"):
        folds.assign(ids)


def test_a_query_given_twice_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a query id occurs twice"):
        Folds(2).assign(["a", "b", "a"])
