"""Scoring a segment in NumPy, term by term: the reference that the compiled engine must equal."""

import numpy as np
from numpy.typing import NDArray

from indexer.segments.segment import Segment
from indexer.storage.layout import DENSE


def score_notes(
    segment: Segment,
    numbers: NDArray[np.int64],
    weights: NDArray[np.float64],
    norm: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Scores of all notes of a segment, shape (notes,), summed in canonical order of terms."""
    totals = np.zeros(segment.notes, dtype=np.float64)
    for number, weight in zip(numbers.tolist(), weights.tolist(), strict=True):
        if number < 0:
            continue
        if segment.arrays.kind[number] == DENSE and norm.min() > 0:
            _add_column(segment, number, weight, norm, totals)
        else:
            notes, tfs = segment.postings(number)
            if notes.max(initial=0) >= segment.notes:
                raise segment.damage_error()
            totals[notes] += weight * (tfs / (tfs + norm[notes]))
    return totals.astype(np.float32)


def _add_column(
    segment: Segment,
    number: int,
    weight: float,
    norm: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Adds the share of a dense term; it is exactly zero for notes that lack the term."""
    tfs = segment.frequencies(number)
    totals += weight * (tfs / (tfs + norm))
