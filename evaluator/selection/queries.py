"""Judged queries as what merges are chosen by: the value of a measure of each query."""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from evaluator.retrieval.evaluation import evaluate_searcher
from evaluator.retrieval.measures import depth_needed, parse_measures
from patientdx.errors import EvaluationError
from patientdx.protocols import Searcher
from patientdx.records import Qrels, Query

from .instances import Floats, Instances, Places, Scorer
from .metrics import MeanMetric, Metric


def retrieval_metric(name: str, depth: int) -> Metric:
    """The mean of a measure over queries, named as ir_measures names it.

    Raises EvaluationError for an unknown measure, and for one that reads beyond `depth` hits.
    """
    (measure,) = parse_measures([name])
    if depth < (needed := depth_needed([measure])):
        raise EvaluationError(
            f"`{measure}` needs {needed} hits a query, not {depth}",
            hint=f"--depth {needed}",
        )
    return MeanMetric(measure)


def judged_queries(queries: Iterable[Query], qrels: Qrels) -> list[Query]:
    """The queries that have judgements, in order. Raises EvaluationError for none or a double."""
    found = [one for one in queries if one.query_id in qrels]
    if not found:
        raise EvaluationError(
            "none of the queries has a relevance judgement",
            hint="check that queries and judgements are of the same set and split",
        )
    if len({one.query_id for one in found}) < len(found):
        raise EvaluationError("a query id is given twice")
    return found


def query_instances(queries: Sequence[Query], qrels: Qrels) -> Instances:
    """An instance a query, known by a digest of it and of its judgements."""
    names = [one.query_id for one in queries]
    keys = [_digest(one, qrels) for one in queries]
    return Instances.of(names, keys=keys, unit="queries")


def query_scorer(
    searcher: Searcher, queries: Sequence[Query], qrels: Qrels, measure: str, depth: int
) -> Scorer:
    """What a searcher gets of the measure for each query, from its `depth` best hits."""

    def score(places: Places) -> Floats:
        some = [queries[place] for place in places.tolist()]
        judged = {one.query_id: qrels[one.query_id] for one in some}
        found, _, _ = evaluate_searcher(searcher, some, judged, [measure], depth=depth)
        return np.array([found.per_query[one.query_id][measure] for one in some])

    return score


def _digest(query: Query, qrels: Qrels) -> str:
    judged = sorted(qrels[query.query_id].items())
    whole = [query.query_id, query.text, sorted(query.weights.items()), sorted(query.terms.items())]
    return blake2b(json.dumps([whole, judged]).encode(), digest_size=24).hexdigest()
