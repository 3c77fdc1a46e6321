"""Term weights of BM25: idf, and the saturation of query frequencies."""

import math


def idf(size: int, document_frequency: int) -> float:
    """Lucene's idf in a collection of `size` notes: ln(1 + (N - df + 1/2) / (df + 1/2))."""
    return math.log1p((size - document_frequency + 0.5) / (document_frequency + 0.5))


def saturate(count: float, k3: float) -> float:
    """The weight of a count in a query: 1 for a count of 1, and k3 + 1 at most."""
    return count * (k3 + 1) / (count + k3) if count else 0.0
