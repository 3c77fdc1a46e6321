"""Tuning by grid: each candidate evaluated once, choices that their queries had no part in."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import (
    CachingSearcher,
    CandidateSettings,
    Evaluation,
    Folds,
    cross_validate,
    evaluate_searcher,
    judgement_fingerprints,
    parameter_grid,
    tune_searcher,
)
from patientdx.errors import EvaluationError
from patientdx.records import Filter, Hit, Qrels, Query, ranked

IDS = [f"q{i:02}" for i in range(30)]
QUERIES = [Query(query_id, f"invented words of {query_id}") for query_id in IDS]
QRELS: Qrels = {query_id: {f"d{int(query_id[1:]) % 7}": 1, "d9": 2} for query_id in IDS}
CANDIDATES = parameter_grid({"shift": [0, 1, 2, 3]})


class Shifted:
    """A searcher whose scores are pseudo-random by query, and by its one setting."""

    def __init__(self, shift: float) -> None:
        self.shift = shift
        self.searched_ids: list[str] = []

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        self.searched_ids += [query.query_id for query in queries]
        gone = where.exclude_ids if where else frozenset()
        result = [[hit for hit in self._hits(query) if hit.doc_id not in gone] for query in queries]
        return [hits[:k] for hits in result]

    def _hits(self, query: Query) -> list[Hit]:
        rng = np.random.default_rng([int(query.query_id[1:]), int(self.shift)])
        return ranked({f"d{number}": float(rng.random()) for number in range(12)})


class Factory:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[CandidateSettings, Shifted]] = []

    def __call__(self, settings: CandidateSettings) -> Shifted:
        searcher = Shifted(float(settings["shift"]))
        self.made.append((settings, searcher))
        return searcher


def test_a_grid_is_every_combination_in_order() -> None:
    assert parameter_grid({"k1": [0.9, 1.2], "b": [0.4], "stop": ["a", "b"]}) == [
        {"k1": 0.9, "b": 0.4, "stop": "a"},
        {"k1": 0.9, "b": 0.4, "stop": "b"},
        {"k1": 1.2, "b": 0.4, "stop": "a"},
        {"k1": 1.2, "b": 0.4, "stop": "b"},
    ]
    assert parameter_grid({}) == [{}]
    assert parameter_grid({"k1": []}) == []


def test_every_candidate_is_made_and_searched_once() -> None:
    factory = Factory()
    ticks: list[int] = []
    tune_searcher(factory, CANDIDATES, QUERIES, QRELS, "nDCG@10", on_progress=ticks.append)
    assert [settings for settings, _ in factory.made] == CANDIDATES
    assert all(searcher.searched_ids == IDS for _, searcher in factory.made)
    assert sum(ticks) == len(CANDIDATES) * len(IDS)


@pytest.mark.parametrize("groups", [{}, {query_id: query_id[:2] for query_id in IDS[:15]}])
def test_tuning_does_what_cross_validation_is_by_definition(groups: dict[str, str]) -> None:
    folds = Folds(4, seed=3, groups=groups)
    got = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, "nDCG@10", folds=folds)
    assert got.fold_of == folds.assign(IDS)

    def mean(candidate: CandidateSettings, ids: Sequence[str]) -> float:
        """Evaluated anew, on these queries and their judgements alone."""
        some = {query_id: QRELS[query_id] for query_id in ids}
        searcher = Shifted(float(candidate["shift"]))
        return evaluate_searcher(searcher, QUERIES, some, ["nDCG@10"])[0].mean("nDCG@10")

    assert got.means == pytest.approx([mean(candidate, IDS) for candidate in CANDIDATES])
    assert got.settings == max(CANDIDATES, key=lambda item: mean(item, IDS))
    for fold in range(4):
        inside = [query_id for query_id in IDS if got.fold_of[query_id] == fold]
        outside = [query_id for query_id in IDS if got.fold_of[query_id] != fold]
        best = max(CANDIDATES, key=lambda item: mean(item, outside))
        assert got.candidates[got.fold_choices[fold]] == best
        for query_id in inside:
            assert got.settings_for(query_id) == best
            assert got.out_of_fold.per_query[query_id]["nDCG@10"] == mean(best, [query_id])
    # The choice is no dead letter here: folds choose differently.
    assert len(set(got.fold_choices)) > 1


def test_a_query_has_no_part_in_the_choice_for_it() -> None:
    """Whatever its own judgements say, the settings for its fold stay the same."""
    got = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, "nDCG@10")
    fold = got.fold_of["q00"]
    for grade in (0, 1, 3):
        changed = {**QRELS, "q00": {f"d{number}": grade for number in range(5)}}
        again = tune_searcher(Factory(), CANDIDATES, QUERIES, changed, "nDCG@10")
        assert again.fold_choices[fold] == got.fold_choices[fold]
        others = [
            query_id for query_id in IDS if got.fold_of[query_id] == fold and query_id != "q00"
        ]
        for query_id in others:
            assert again.out_of_fold.per_query[query_id] == got.out_of_fold.per_query[query_id]


def test_further_measures_have_no_say() -> None:
    plain = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, "nDCG@10")
    more = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, ["nDCG@10", "RR", "P@5"])
    assert more.measure == "nDCG@10"
    assert more.out_of_fold.measures == ("nDCG@10", "RR", "P@5")
    assert more.out_of_fold.values("nDCG@10") == plain.out_of_fold.values("nDCG@10")
    assert (more.means, more.fold_choices) == (plain.means, plain.fold_choices)


def test_the_order_of_queries_changes_nothing() -> None:
    plain = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, "nDCG@10")
    turned = tune_searcher(
        Factory(), CANDIDATES, QUERIES[::-1], dict(reversed(QRELS.items())), "nDCG@10"
    )
    assert turned == plain


def test_judged_queries_without_a_text_count() -> None:
    got = tune_searcher(Factory(), CANDIDATES, QUERIES[:20], QRELS, "nDCG@10")
    assert got.fold_of.keys() == QRELS.keys()
    assert got.out_of_fold.per_query["q29"] == {"nDCG@10": 0.0}


def constant(*values: float) -> Evaluation:
    return Evaluation(("AP",), {f"q{i}": {"AP": value} for i, value in enumerate(values)})


JUDGED: Qrels = {f"q{i}": {"d": 1} for i in range(4)}


def test_of_equally_good_candidates_the_first_is_taken() -> None:
    # The sums are equal; in floats, 0.1 + 0.2 is greater than 0.3.
    equal = [constant(0.3, 0.0, 0.0, 0.0), constant(0.1 + 0.2, 0.0, 0.0, 0.0)]
    for evaluations in (equal, equal[::-1]):
        got = cross_validate(
            parameter_grid({"x": [1, 2]}), evaluations, JUDGED, "AP", folds=Folds(2)
        )
        assert got.settings == {"x": 1}
        assert got.fold_choices == (0, 0)


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_chosen_is_the_first_of_the_best(rows: list[list[int]]) -> None:
    evaluations = [constant(*(value / 4 for value in row)) for row in rows]
    candidates = parameter_grid({"x": list(range(len(rows)))})
    got = cross_validate(candidates, evaluations, JUDGED, "AP", folds=Folds(2))
    sums = [sum(row) for row in rows]
    assert got.chosen == sums.index(max(sums))
    assert got.means == tuple(total / 16 for total in sums)
    # What is chosen without a query is worth no more on it than the best for it.
    assert all(
        got.out_of_fold.per_query[query]["AP"] <= max(row[i] / 4 for row in rows)
        for i, query in enumerate(JUDGED)
    )


@given(st.integers(0, 1000))
def test_out_of_fold_values_of_noise_are_not_flattered(seed: int) -> None:
    """Without anything to learn, leaving one out chooses against the query left out."""
    rng = np.random.default_rng(seed)
    candidates = parameter_grid({"x": list(range(50))})
    qrels: Qrels = {f"q{i}": {"d": 1} for i in range(20)}
    noise = rng.random((50, 20))
    evaluations = [constant(*row) for row in noise]
    got = cross_validate(candidates, evaluations, qrels, "AP", folds=Folds(20))
    assert got.out_of_fold.mean("AP") <= got.means[got.chosen] + 1e-12


def test_candidates_can_be_changed_afterwards() -> None:
    candidates = parameter_grid({"x": [1]})
    got = cross_validate(candidates, [constant(1, 1, 1, 1)], JUDGED, "AP", folds=Folds(2))
    candidates[0]["x"] = 2
    assert got.settings == {"x": 1}


def test_the_judgements_that_were_used_are_recorded() -> None:
    got = tune_searcher(Factory(), CANDIDATES, QUERIES, QRELS, "AP")
    assert got.judged == judgement_fingerprints(QRELS)
    assert len(got.judged) == len(QRELS)


@pytest.mark.parametrize(
    ("candidates", "evaluations", "measure", "message"),
    [
        ([], [], "AP", "one candidate or more"),
        ([{"x": 1}], [], "AP", "each evaluated once"),
        ([{"x": 1}], [constant(1, 1, 1)], "AP", "on the queries judged"),
        ([{"x": 1}], [constant(1, 1, 1, 1)], "RR", "was not computed"),
        (
            [{"x": 1}, {"x": 2}],
            [constant(1, 1, 1, 1), Evaluation(("RR",), {})],
            "AP",
            "same measures",
        ),
    ],
)
def test_what_cannot_be_tuned_is_an_error(
    candidates: list[CandidateSettings], evaluations: list[Evaluation], measure: str, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        cross_validate(candidates, evaluations, JUDGED, measure, folds=Folds(2))


def test_too_few_queries_are_reported_before_anything_is_searched() -> None:
    factory = Factory()
    with pytest.raises(EvaluationError, match="for 5 folds"):
        tune_searcher(factory, CANDIDATES, QUERIES, {"q01": {"d1": 1}}, "AP")
    assert factory.made == []


def test_runs_below_a_tuned_fusion_are_searched_once() -> None:
    below = Shifted(0)
    remembered = CachingSearcher(below)

    class Cut:
        """Stands for a fusion: the runs below are the same for all candidates."""

        def __init__(self, settings: CandidateSettings) -> None:
            self.settings = settings

        def search_many(
            self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
        ) -> list[list[Hit]]:
            cut = int(self.settings["cut"])
            return [hits[cut:k] for hits in remembered.search_many(queries, 100, where)]

    candidates = parameter_grid({"cut": [0, 1, 2]})
    got = tune_searcher(Cut, candidates, QUERIES, QRELS, "nDCG@10")
    assert below.searched_ids == IDS
    assert len(set(got.means)) == 3


def test_a_remembering_searcher_answers_as_the_one_below() -> None:
    below, plain = Shifted(1), Shifted(1)
    remembered = CachingSearcher(below)
    without = Filter(exclude_ids=frozenset({"d3"}))
    for some, k, where in (
        (QUERIES[:3], 5, None),
        (QUERIES[1:5], 5, None),
        (QUERIES[:2], 4, None),
        (QUERIES[:2], 4, without),
        ([QUERIES[7], QUERIES[7]], 5, None),
        ([], 5, None),
    ):
        assert remembered.search_many(some, k, where) == plain.search_many(some, k, where)
    assert below.searched_ids == [*IDS[:3], *IDS[3:5], *IDS[:2], *IDS[:2], "q07", "q07"]


def test_another_query_of_the_same_id_is_asked_anew() -> None:
    below = Shifted(1)
    remembered = CachingSearcher(below)
    for query in (QUERIES[0], Query("q00", "other"), Query("q00", "other", {"word": 1.0})):
        remembered.search_many([query])
        remembered.search_many([query])
    assert below.searched_ids == ["q00"] * 3


def test_a_caller_cannot_change_what_is_remembered() -> None:
    remembered = CachingSearcher(Shifted(1))
    first = remembered.search_many(QUERIES[:1])
    stored = list(first[0])
    first[0].clear()
    assert remembered.search_many(QUERIES[:1]) == [stored]
    assert math.isfinite(stored[0].score)
