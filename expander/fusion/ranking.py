"""Ranking of fused scores, vectorised."""

from collections.abc import Mapping
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from patientdx.records import Hit


def rank_hits(scores: Mapping[str, float], depth: int | None = None) -> list[Hit]:
    """The first `depth` hits of `records.ranked(scores)`, many times faster than it."""
    with np.errstate(over="ignore"):
        rounded = np.fromiter(scores.values(), np.float64, len(scores)).astype(np.float32)
    order = np.argsort(-rounded, kind="stable")
    rounded = rounded[order]
    if depth is not None and 0 < depth < len(scores):  # keep all ties of the last hit
        end = int(np.searchsorted(-rounded, -rounded[depth - 1], side="right"))
        order, rounded = order[:end], rounded[:end]
    all_ids = list(scores)
    doc_ids = [all_ids[i] for i in order.tolist()]
    _order_ties(doc_ids, rounded)
    pairs = zip(doc_ids[:depth], rounded[:depth].tolist(), strict=True)
    # Hit(...) amounts to `tuple.__new__`; calling that directly halves the time.
    return list(map(tuple.__new__, repeat(Hit), pairs))


def _order_ties(doc_ids: list[str], scores: NDArray[np.float32]) -> None:
    """Sorts documents of equal scores by descending id, in place."""
    changes = np.flatnonzero(scores[1:] != scores[:-1]) + 1
    bounds = np.concatenate(([0], changes, [len(doc_ids)]))
    tied = np.flatnonzero(np.diff(bounds) > 1)
    for start, end in zip(bounds[tied].tolist(), bounds[tied + 1].tolist(), strict=True):
        if end - start > 2:
            doc_ids[start:end] = sorted(doc_ids[start:end], reverse=True)
        elif doc_ids[start] < doc_ids[start + 1]:
            doc_ids[start], doc_ids[start + 1] = doc_ids[start + 1], doc_ids[start]
