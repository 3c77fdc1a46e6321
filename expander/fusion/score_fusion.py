"""Score fusion: the weighted sum of normalised scores.

    score(d) = sum over runs of  w * norm(score(d))

    min-max   (s - min) / max(max - min, 1e-9)      0 for lists of one hit or of equal scores
    z-score   (s - mean) / max(deviation, 1e-9)     population deviation, over the hits of the list

Fox & Shaw 1994 for sums of scores. The conventions are those of ranx's `wsum` (Bassani 2022),
which gives equal results.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from patientdx.errors import InputError
from patientdx.records import Hit, Run

from .fusion import check_weights, doc_ids, hits_by_query, rank_run, run_weights, sum_gains

Norm = Literal["min-max", "z-score"]
NORMS: tuple[Norm, ...] = get_args(Norm)

_MIN_SPREAD = 1e-9
_SCORE = itemgetter(1)


@dataclass(frozen=True)
class ScoreFusion:
    """The weighted sum of normalised scores. `weights` has one number per run, None for 1 each."""

    norm: Norm = "min-max"
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise InputError(f"unknown norm `{self.norm}`", hint=f"one of {', '.join(NORMS)}")
        check_weights(self.weights)

    @property
    def name(self) -> str:
        """The name of its norm."""
        return self.norm

    def fuse(self, runs: Sequence[Run], depth: int | None = None) -> Run:
        """The fused run."""
        return rank_run(self.fused_scores(runs), depth)

    def fused_scores(self, runs: Sequence[Run]) -> Iterator[tuple[str, dict[str, float]]]:
        """Each query_id with its fused scores (doc_id -> float64)."""
        weights = run_weights(runs, self.weights)
        for query_id, lists in hits_by_query(runs):
            pairs = zip(lists, weights, strict=True)
            yield query_id, sum_gains([(doc_ids(hits), self._gains(hits, w)) for hits, w in pairs])

    def _gains(self, hits: Sequence[Hit], weight: float) -> list[float]:
        if not hits:
            return []
        gains: list[float] = (weight * _normalize(hits, self.norm)).tolist()
        return gains


def _normalize(hits: Sequence[Hit], norm: Norm) -> NDArray[np.float64]:
    scores = np.fromiter(map(_SCORE, hits), np.float64, len(hits))
    if norm == "min-max":
        offset, spread = float(scores.min()), float(np.ptp(scores))
    else:
        # Summed sequentially, as numba does in ranx: then equal scores leave nothing but rounding.
        offset = float(np.add.accumulate(scores)[-1]) / len(scores)
        spread = math.sqrt(float(np.add.accumulate((scores - offset) ** 2)[-1]) / len(scores))
    normalized: NDArray[np.float64] = (scores - offset) / max(spread, _MIN_SPREAD)
    return normalized
