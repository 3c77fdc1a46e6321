"""Evaluation of runs and searchers against relevance judgements."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from patientdx.errors import EvaluationError
from patientdx.protocols import RankingSearcher, Searcher
from patientdx.records import Hit, Qrels, Query, Run

from .measures import (
    GREATEST_GRADE,
    load_ir_measures,
    measure_cutoff,
    parse_measure,
    parse_measures,
    required_depth,
    without_cutoff,
)

if TYPE_CHECKING:
    from ir_measures import Measure

_Item = TypeVar("_Item")

_SCORED_AT_ONCE = 256
"""Queries per call of trec_eval: bounds the memory of its copy of a run."""

OwnNotes = bool | Collection[str]
"""The queries whose own note, that with the query's id, is ignored: all, none, or by id."""

Hits = Sequence[Hit] | Mapping[str, float]
"""The hits of a query, or the score of each document."""

EXACT_RR = "RR"
"""The only measure that can be taken from a rank counted over the whole ranking."""


@dataclass(frozen=True)
class Evaluation:
    """Values of measures, for every judged query in the order of the judgements."""

    measures: tuple[str, ...]
    per_query: Mapping[str, Mapping[str, float]]

    def values(self, measure: str) -> list[float]:
        """The value of each judged query. Raises EvaluationError for a measure not computed."""
        if measure not in self.measures:
            raise EvaluationError(
                f"measure `{measure}` was not computed",
                hint=f"computed were {', '.join(self.measures)}",
            )
        return [values[measure] for values in self.per_query.values()]

    def mean(self, measure: str) -> float:
        """The mean over all judged queries. Raises EvaluationError for a measure not computed."""
        return math.fsum(self.values(measure)) / len(self.per_query)


@dataclass(frozen=True)
class QueryCounts:
    """Numbers of queries evaluated and left out.

    Means are over `judged` queries. Of these, `missing_queries` have judgements but no text, and
    score 0. `unjudged_dropped` have a text but no judgements.
    """

    judged: int
    unjudged_dropped: int
    missing_queries: int


def evaluate_run(
    qrels: Qrels,
    run: Mapping[str, Hits],
    measures: Sequence[str],
    *,
    ranks: Mapping[str, int | None] | None = None,
    exclude_self: OwnNotes = False,
) -> Evaluation:
    """The values of a run, computed by trec_eval through ir_measures.

    A run has the hits of each query: a list of `Hit`, or scores by document, as ir_measures and
    pytrec_eval have them.
    The order of the hits has no effect: trec_eval compares scores as float32 and breaks ties
    by doc_id in descending order. Every query of `qrels` counts; one that the run lacks
    scores 0, as in BEIR. Queries without judgements are ignored. With `exclude_self` notes with
    the id of their query are ignored too (as BEIR does), of all queries or of those with these
    ids. A note without a judgement, or with a negative grade, is not relevant.

    `ranks` holds the one-based rank of the first relevant note over the whole ranking (None if
    it is not ranked): `RR` of the queries in it is taken from there, `RR` of others from the run.

    Raises EvaluationError for an unknown measure, if no query is judged, for a run with a
    duplicate note or a score that is not a number, and for a grade above 1000.
    """
    names = parse_measures(measures)
    _check_overlap(qrels, run.keys() | (ranks or {}).keys())
    per_query: dict[str, dict[str, float]] = {query_id: {} for query_id in qrels}
    for query_ids in _batches(list(qrels), _SCORED_AT_ONCE):
        judged = {query_id: _judgements(query_id, qrels, exclude_self) for query_id in query_ids}
        scores = {
            query_id: _scores(query_id, run[query_id], exclude_self)
            for query_id in query_ids
            if query_id in run
        }
        for name in names:
            for query_id, value in _values(parse_measure(name), judged, scores):
                per_query[query_id][name] = value
    if EXACT_RR in names:
        _apply_exact_ranks(per_query, ranks or {})
    return Evaluation(names, per_query)


def evaluate_searcher(
    searcher: Searcher,
    queries: Iterable[Query],
    qrels: Qrels,
    measures: Sequence[str],
    *,
    depth: int = 1000,
    exclude_self: OwnNotes = False,
    batch: int = 256,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Evaluation, Run, QueryCounts]:
    """The values of a searcher, its run of `depth` hits per query, and the query counts.

    A searcher that can count ranks gives `RR` over its whole ranking; otherwise `RR` sees
    `depth` hits. `exclude_self` is as in `evaluate_run`. `on_progress` receives the number of
    queries of each finished batch.

    Raises EvaluationError for an unknown measure, one that reads beyond `depth`, a duplicate
    query id, and if no query is judged.
    """
    names = parse_measures(measures)
    _check_settings(names, depth, batch)
    judged, counts = _judged_queries(queries, qrels)
    ranker = searcher if EXACT_RR in names and isinstance(searcher, RankingSearcher) else None
    run: Run = {}
    ranks: dict[str, int | None] = {}
    for queries_batch in _batches(judged, batch):
        run.update(_top_hits(searcher, queries_batch, depth, exclude_self))
        if ranker is not None:
            ranks.update(_first_ranks(ranker, queries_batch, qrels, exclude_self))
        if on_progress is not None:
            on_progress(len(queries_batch))
    evaluation = evaluate_run(qrels, run, names, ranks=ranks, exclude_self=exclude_self)
    return evaluation, run, counts


def _values(
    measure: "Measure", judged: Qrels, scores: dict[str, dict[str, float]]
) -> Iterator[tuple[str, float]]:
    """The value of each judged query.

    One measure at a time: of several with parameters, ir_measures 0.4.3 may compute plain nDCG
    with the gains of another.
    """
    cutoff = measure_cutoff(measure) if measure.NAME == "RR" else None
    evaluator = load_ir_measures().pytrec_eval.evaluator([without_cutoff(measure)], judged)
    for metric in evaluator.iter_calc(scores):
        # 1/rank and 1/cutoff are the same division, so equal ranks give equal floats.
        beyond = cutoff is not None and metric.value < 1 / cutoff
        yield metric.query_id, 0.0 if beyond else float(metric.value)


def _own_note(query_id: str, exclude_self: OwnNotes) -> str | None:
    """The note that is ignored for a query."""
    excluded = exclude_self if isinstance(exclude_self, bool) else query_id in exclude_self
    return query_id if excluded else None


def _judgements(query_id: str, qrels: Qrels, exclude_self: OwnNotes) -> dict[str, int]:
    """The judgements of a query that count.

    The note that is the query itself is excluded; so are negative grades, which trec_eval treats
    as unjudged, and for which the nDCG of pytrec_eval 0.5.11 never ends.
    """
    if max(qrels[query_id].values(), default=0) > GREATEST_GRADE:
        raise EvaluationError(f"query `{query_id}` has a grade above {GREATEST_GRADE}")
    own = _own_note(query_id, exclude_self)
    return {doc: grade for doc, grade in qrels[query_id].items() if doc != own and grade >= 0}


def _scores(query_id: str, hits: Hits, exclude_self: OwnNotes) -> dict[str, float]:
    """The hits in the form of trec_eval. Raises EvaluationError if they are ambiguous."""
    pairs = hits.items() if isinstance(hits, Mapping) else hits
    scores = {doc_id: float(score) for doc_id, score in pairs}
    if len(scores) < len(hits):
        raise EvaluationError(f"the run lists a note twice for query `{query_id}`")
    if any(math.isnan(score) for score in scores.values()):
        raise EvaluationError(f"the run has a score that is no number for query `{query_id}`")
    own = _own_note(query_id, exclude_self)
    return {doc_id: score for doc_id, score in scores.items() if doc_id != own}


def _apply_exact_ranks(
    per_query: dict[str, dict[str, float]], ranks: Mapping[str, int | None]
) -> None:
    for query_id in per_query.keys() & ranks.keys():
        rank = ranks[query_id]
        if rank is not None and rank < 1:
            raise EvaluationError(f"query `{query_id}` has a rank below 1")
        per_query[query_id][EXACT_RR] = 0.0 if rank is None else 1 / rank


def _top_hits(
    searcher: Searcher, queries: Sequence[Query], depth: int, exclude_self: OwnNotes
) -> Iterator[tuple[str, list[Hit]]]:
    # One hit more than needed: the query's own note may be among them and is dropped (BEIR).
    results = searcher.search_many(queries, depth + 1 if exclude_self else depth, None)
    for query, hits in zip(queries, results, strict=True):
        own = _own_note(query.query_id, exclude_self)
        yield query.query_id, [hit for hit in hits if hit.doc_id != own][:depth]


def _first_ranks(
    searcher: RankingSearcher, queries: Sequence[Query], qrels: Qrels, exclude_self: OwnNotes
) -> Iterator[tuple[str, int | None]]:
    """The rank of the first relevant note of each query; the query's own note has no rank."""
    relevant = [
        [
            doc
            for doc, grade in _judgements(query.query_id, qrels, exclude_self).items()
            if grade >= 1
        ]
        for query in queries
    ]
    own_notes = [_own_note(query.query_id, exclude_self) for query in queries]
    # A filter excludes patients; hits may be notes. The place of the own note serves both.
    ids = [
        [*docs, *([] if own is None else [own])]
        for docs, own in zip(relevant, own_notes, strict=True)
    ]
    all_ranks = searcher.ranks_many(queries, ids, None)
    for query, own, ranks in zip(queries, own_notes, all_ranks, strict=True):
        of_own = None if own is None else ranks[-1]
        others = ranks if own is None else ranks[:-1]
        first = min((rank for rank in others if rank is not None), default=None)
        is_below = first is not None and of_own is not None and of_own < first
        yield query.query_id, first - 1 if first is not None and is_below else first


def _judged_queries(queries: Iterable[Query], qrels: Qrels) -> tuple[list[Query], QueryCounts]:
    all_queries = list(queries)
    by_id = {query.query_id: query for query in all_queries}
    if len(by_id) < len(all_queries):
        raise EvaluationError("a query id occurs twice")
    _check_overlap(qrels, by_id.keys())
    judged = [query for query in all_queries if query.query_id in qrels]
    counts = QueryCounts(
        judged=len(qrels),
        unjudged_dropped=len(all_queries) - len(judged),
        missing_queries=len(qrels) - len(judged),
    )
    return judged, counts


def _check_overlap(qrels: Qrels, query_ids: Iterable[str]) -> None:
    if not any(query_id in qrels for query_id in query_ids):
        raise EvaluationError(
            "none of the queries has a relevance judgement",
            hint="check that queries, run and judgements are of the same set and split",
        )


def _check_settings(names: Sequence[str], depth: int, batch: int) -> None:
    if depth < 1 or batch < 1:
        raise EvaluationError("depth and batch must be 1 or more")
    if depth < (needed := required_depth(names)):
        raise EvaluationError(
            f"{needed} hits a query are needed for these measures, not {depth}",
            hint=f"use a depth of {needed} or more, or measures with a smaller cutoff",
        )


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
