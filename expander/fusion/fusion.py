"""The protocol of fusions, and what the implementations share.

A document that a run lacks adds 0 there. Sums are float64, in the order of the runs; results are
in the order of `records.ranked`.
"""

import gc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Protocol

from patientdx.errors import InputError
from patientdx.records import Hit, Run
from patientdx.wording import count_noun

from .ranking import rank_hits

_DOC_ID = itemgetter(0)


class Fusion(Protocol):
    """A way to fuse runs."""

    @property
    def name(self) -> str:
        """The name of the fusion in tables."""
        ...

    def fuse(self, runs: Sequence[Run], depth: int | None = None) -> Run:
        """One run over all queries of the runs, of at most `depth` hits per query."""
        ...


def hits_by_query(runs: Sequence[Run]) -> Iterator[tuple[str, list[list[Hit]]]]:
    """Each query_id with the hits of each run, empty where a run lacks the query."""
    if not runs:
        raise InputError("there are no runs to fuse")
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run):
        yield query_id, [run.get(query_id, []) for run in runs]


def run_weights(runs: Sequence[Run], weights: Sequence[float] | None) -> Sequence[float]:
    """The weight of each run, 1 by default. Raises InputError unless there is one per run."""
    if weights is None:
        return [1.0] * len(runs)
    if len(weights) != len(runs):
        raise InputError(
            f"{count_noun(len(weights), 'weight')} for {count_noun(len(runs), 'system')}"
        )
    return weights


def check_weights(weights: Sequence[float] | None) -> None:
    """Raises InputError unless all weights are finite and 0 or more."""
    for weight in weights or ():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"a weight of fusion must be 0 or more, not {weight}")


def doc_ids(hits: Sequence[Hit]) -> list[str]:
    """The doc_ids of hits, in order."""
    return list(map(_DOC_ID, hits))


def sum_gains(gains_by_run: Sequence[tuple[Sequence[str], Sequence[float]]]) -> dict[str, float]:
    """The sum of each document's gains over runs of (doc_ids, gains).

    A list of gains may be longer than its list of doc_ids.
    """
    total: dict[str, float] = {}
    get = total.get
    for ids, gains in gains_by_run:
        for doc_id, gain in zip(ids, gains, strict=False):
            total[doc_id] = get(doc_id, 0.0) + gain
    return total


def rank_run(scores: Iterable[tuple[str, Mapping[str, float]]], depth: int | None) -> Run:
    """The run of each query's fused scores (doc_id -> score), of at most `depth` hits each."""
    with _paused_garbage_collection():
        return {query_id: rank_hits(by_doc, depth) for query_id, by_doc in scores}


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pauses Python's search for reference cycles.

    Among millions of hits it takes most of the time, and fusion creates no cycles.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
