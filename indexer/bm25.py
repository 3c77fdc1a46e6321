"""The BM25 formula, as in Lucene since version 8.

    score(q, d) = sum over terms t of  w(t, q) * idf(t) * tf / (tf + norm(d))
    idf(t)      = ln(1 + (N - df + 0.5) / (df + 0.5))
    norm(d)     = k1 * ((1 - b) + b * length(d) / average length)

w is the frequency of the term in the query (or its weight); N and df count live notes. The terms
are summed in float64, in ascending order of their UTF-8 bytes, and the sum is rounded once, to
float32. Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patientdx.errors import InputError


@dataclass(frozen=True)
class BM25Settings:
    """Parameters of BM25: `k1` >= 0 for term frequency saturation, `b` in [0, 1] for length."""

    k1: float = 0.9
    b: float = 0.4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.k1) and 0 <= self.k1 <= 1000):
            raise InputError(f"k1 must lie between 0 and 1000, not {self.k1}")
        if not (math.isfinite(self.b) and 0 <= self.b <= 1):
            raise InputError(f"b must lie between 0 and 1, not {self.b}")


def idf(patients: int, document_frequency: int) -> float:
    """Inverse document frequency; positive for every term that occurs in a note."""
    return math.log(1.0 + (patients - document_frequency + 0.5) / (document_frequency + 0.5))


def length_norms(
    lengths: NDArray[Any], average_length: float, settings: BM25Settings
) -> NDArray[np.float64]:
    """norm(d) of each note, shape (notes,)."""
    if average_length <= 0:
        return np.full(len(lengths), settings.k1, dtype=np.float64)
    relative = lengths.astype(np.float64) / average_length
    return settings.k1 * ((1.0 - settings.b) + settings.b * relative)
