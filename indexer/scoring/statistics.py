"""Term statistics over the live notes of an index, and the weights of query terms."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.analysis import Analyzer
from indexer.bm25 import idf
from indexer.segments.segment import Segment
from patientdx.errors import InputError
from patientdx.records import Query

MAX_WEIGHT = 1e30
"""Upper limit of query weights, such that sums of scores still fit float32."""


class WeightedTerms(NamedTuple):
    """The terms of a query that occur in the index, in ascending order of their bytes.

    `weights` are query weight times idf; `numbers[s][i]` is the number of term i in segment s,
    or -1.
    """

    terms: list[str]
    weights: NDArray[np.float64]
    numbers: NDArray[np.int64]


class Statistics:
    """Document frequencies over live notes, cached by term."""

    def __init__(self, segments: Sequence[Segment], patients: int) -> None:
        self._segments = segments
        self._patients = patients
        self._entries: dict[str, tuple[float, tuple[int, ...]] | None] = {}

    def document_frequency(self, term: str) -> int:
        """Number of live notes that contain a term."""
        numbers = [(segment, segment.term_number(term)) for segment in self._segments]
        return sum(segment.live_df(n) for segment, n in numbers if n is not None)

    def weigh(self, counts: Mapping[str, float]) -> WeightedTerms:
        """Weights terms by idf. Terms that no live note contains are dropped."""
        rows = []
        for term, count in counts.items():
            entry = self._entries[term] if term in self._entries else self._look_up(term)
            if entry is not None and count > 0:
                rows.append((term, count * entry[0], entry[1]))
        rows.sort()
        numbers = np.array([row[2] for row in rows], dtype=np.int64)
        return WeightedTerms(
            [row[0] for row in rows],
            np.array([row[1] for row in rows], dtype=np.float64),
            numbers.reshape(len(rows), len(self._segments)).T.copy(),
        )

    def _look_up(self, term: str) -> tuple[float, tuple[int, ...]] | None:
        numbers = [segment.term_number(term) for segment in self._segments]
        df = sum(
            segment.live_df(n)
            for segment, n in zip(self._segments, numbers, strict=True)
            if n is not None
        )
        entry = (
            (idf(self._patients, df), tuple(-1 if n is None else n for n in numbers))
            if df
            else None
        )
        self._entries[term] = entry
        return entry


def query_counts(query: Query, analyzer: Analyzer) -> dict[str, float]:
    """The index terms of a query with their weights, before idf.

    Raises InputError for a weight that is negative, above MAX_WEIGHT or not a number.
    """
    counts: dict[str, float] = {}
    for term in analyzer.query_terms(query.text):
        counts[term] = counts.get(term, 0.0) + 1.0
    for weight in (*query.weights.values(), *query.terms.values()):
        if not 0 <= weight <= MAX_WEIGHT:
            raise InputError(
                f"query `{query.query_id}`: a term has the weight {weight}",
                hint=f"weights lie between 0 and {MAX_WEIGHT:g}",
            )
    for word, weight in query.weights.items():
        for term in analyzer.query_terms(word):
            counts[term] = counts.get(term, 0.0) + weight
    for term, weight in query.terms.items():
        counts[term] = counts.get(term, 0.0) + weight
    return counts
