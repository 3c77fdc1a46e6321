"""Searchers, with and without ranks of their own, that know their whole ranking."""

from collections.abc import Sequence

import numpy as np
import pytest

from evaluator import DEFAULT_MEASURES, Evaluation, QueryCounts, evaluate_run, evaluate_searcher
from patientdx.errors import EvaluationError
from patientdx.protocols import RankingSearcher, Searcher
from patientdx.records import Filter, Hit, Query, ranked

DOCS = [f"d{number}" for number in range(12)]


class Listed:
    """A searcher that knows the whole ranking of every query, and what it was asked."""

    def __init__(self, scores: dict[str, dict[str, float]]) -> None:
        self.scores = scores
        self.calls: list[tuple[list[str], int, Filter | None]] = []

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        self.calls.append(([query.query_id for query in queries], k, where))
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
    _, run, _ = evaluate_searcher(
        searcher, queries("p0"), {"p0": {"p5": 1}}, ["P@5"], depth=5, exclude_self=True
    )
    assert [hit.doc_id for hit in run["p0"]] == ["p1", "p2", "p3", "p4", "p5"]
    assert searcher.calls == [(["p0"], 6, None)]


def test_the_run_is_cut_where_the_query_itself_is_no_hit() -> None:
    scores = {"other": LONG["p0"]}
    _, run, _ = evaluate_searcher(
        Listed(scores), queries("other"), {"other": {"p5": 1}}, ["P@5"], depth=5, exclude_self=True
    )
    assert [hit.doc_id for hit in run["other"]] == ["p0", "p1", "p2", "p3", "p4"]


def test_a_note_with_the_id_of_the_query_stays_unless_it_is_excluded() -> None:
    searcher = Ranking(LONG)
    got, run, _ = evaluate_searcher(
        searcher, queries("p0"), {"p0": {"p0": 1}}, ["RR", "P@5"], depth=5
    )
    assert [hit.doc_id for hit in run["p0"]] == ["p0", "p1", "p2", "p3", "p4"]
    assert searcher.calls == [(["p0"], 5, None)]
    assert (got.mean("RR"), got.mean("P@5")) == (1.0, 0.2)


def test_a_ranking_searcher_gives_rr_beyond_the_depth() -> None:
    qrels = {"p0": {"p40": 1, "p30": 2, "p3": 0, "absent": 1, "p0": 1}}
    exact, _, _ = evaluate_searcher(
        Ranking(LONG), queries("p0"), qrels, ["RR", "P@5"], depth=5, exclude_self={"p0"}
    )
    # p0 itself holds no rank: p30 comes 30th among the others.
    assert exact.mean("RR") == 1 / 30
    plain, _, _ = evaluate_searcher(
        Listed(LONG), queries("p0"), qrels, ["RR", "P@5"], depth=5, exclude_self={"p0"}
    )
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
            raise AssertionError((queries, doc_ids, where))

    qrels = {"p0": {"p1": 1}}
    got, _, _ = evaluate_searcher(
        Refusing(LONG), queries("p0"), qrels, ["RR@5"], depth=5, exclude_self=True
    )
    assert got.mean("RR@5") == 1.0


def test_queries_are_counted_and_the_missing_score_zero() -> None:
    searcher = Listed({"a": {"x": 1.0}, "b": {"x": 1.0}, "free": {"x": 1.0}})
    qrels = {"a": {"x": 1}, "b": {"y": 1}, "gone": {"x": 1}, "lost": {"x": 1}}
    got, run, counts = evaluate_searcher(searcher, queries("a", "free", "b"), qrels, ["R@10"])
    assert counts == QueryCounts(judged=4, unjudged_dropped=1, missing_queries=2)
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
    assert [len(calls) for calls, _, _ in searcher.calls] == steps


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
    with pytest.raises(EvaluationError, match="a query id occurs twice"):
        evaluate_searcher(Listed(LONG), queries("p0", "p0"), {"p0": {"p1": 1}}, ["RR"])


def test_no_judged_query_is_an_error_before_anything_is_searched() -> None:
    searcher = Listed(LONG)
    with pytest.raises(EvaluationError, match="none of the queries") as caught:
        evaluate_searcher(searcher, queries("p0"), {"other": {"p1": 1}}, ["RR"])
    assert caught.value.hint
    assert searcher.calls == []
