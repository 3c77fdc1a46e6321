"""Reciprocal rank fusion.

    score(d) = sum over runs of  w / (k + rank(d)),   ranks from 1

Cormack, Clarke & Büttcher 2009, "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank
Learning Methods". Equals ranx's `rrf` (Bassani 2022).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from patientdx.errors import InputError
from patientdx.records import Run

from .fusion import check_weights, doc_ids, hits_by_query, rank_run, run_weights, sum_gains


@dataclass(frozen=True)
class RRF:
    """Reciprocal rank fusion. `weights` has one number per run, None for 1 each."""

    k: float = 60
    weights: tuple[float, ...] | None = None
    name: str = "rrf"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.k) and self.k >= 0):
            raise InputError(f"the k of RRF must be 0 or more, not {self.k}")
        check_weights(self.weights)

    def fuse(self, runs: Sequence[Run], depth: int | None = None) -> Run:
        """The fused run; the rank of a hit is its place in its list."""
        return rank_run(self.fused_scores(runs), depth)

    def fused_scores(self, runs: Sequence[Run]) -> Iterator[tuple[str, dict[str, float]]]:
        """Each query_id with its fused scores (doc_id -> float64)."""
        weights = run_weights(runs, self.weights)
        longest = max((len(hits) for run in runs for hits in run.values()), default=0)
        gains_by_run = [[w / (self.k + rank) for rank in range(1, longest + 1)] for w in weights]
        for query_id, lists in hits_by_query(runs):
            pairs = zip(lists, gains_by_run, strict=True)
            yield query_id, sum_gains([(doc_ids(hits), gains) for hits, gains in pairs])
