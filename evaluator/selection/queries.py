"""Choosing merges by judged queries: the value of a retrieval measure for each query."""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from evaluator.retrieval.evaluation import OwnNotes, evaluate_searcher
from evaluator.retrieval.measures import parse_measures, required_depth
from patientdx.errors import EvaluationError
from patientdx.protocols import Searcher
from patientdx.records import Qrels, Query

from .instances import Floats, Indices, Instances, InstanceScorer
from .metrics import MeanMetric, Metric


def retrieval_metric(name: str, depth: int) -> Metric:
    """The mean of a measure over queries, named as ir_measures names it.

    Raises EvaluationError for an unknown measure, and for one that reads beyond `depth` hits.
    """
    (measure,) = parse_measures([name])
    if depth < (needed := required_depth([measure])):
        raise EvaluationError(
            f"`{measure}` needs {needed} hits a query, not {depth}",
            hint=f"--depth {needed}",
        )
    return MeanMetric(measure)


def select_judged_queries(queries: Iterable[Query], qrels: Qrels) -> list[Query]:
    """The queries with judgements, in order. Raises EvaluationError for none and for duplicates."""
    judged = [query for query in queries if query.query_id in qrels]
    if not judged:
        raise EvaluationError(
            "none of the queries has a relevance judgement",
            hint="check that queries and judgements are of the same set and split",
        )
    if len({query.query_id for query in judged}) < len(judged):
        raise EvaluationError("a query id occurs twice")
    return judged


def query_instances(queries: Sequence[Query], qrels: Qrels) -> Instances:
    """One instance per query, whose key is a digest of the query and its judgements."""
    names = [query.query_id for query in queries]
    keys = [_digest(query, qrels) for query in queries]
    return Instances.build(names, keys=keys, unit="queries")


def query_scorer(
    searcher: Searcher,
    queries: Sequence[Query],
    qrels: Qrels,
    measure: str,
    depth: int,
    exclude_self: OwnNotes = False,
) -> InstanceScorer:
    """A scorer of queries: the measure of a searcher's `depth` best hits of each query.

    `exclude_self` is as in `evaluate_run`.
    """

    def score(indices: Indices) -> Floats:
        batch = [queries[index] for index in indices.tolist()]
        judged = {query.query_id: qrels[query.query_id] for query in batch}
        evaluation, _, _ = evaluate_searcher(
            searcher, batch, judged, [measure], depth=depth, exclude_self=exclude_self
        )
        return np.array([evaluation.per_query[query.query_id][measure] for query in batch])

    return score


def _digest(query: Query, qrels: Qrels) -> str:
    judged = sorted(qrels[query.query_id].items())
    content = [
        query.query_id,
        query.text,
        sorted(query.weights.items()),
        sorted(query.terms.items()),
    ]
    return blake2b(json.dumps([content, judged]).encode(), digest_size=24).hexdigest()
