"""Scoring queries over all segments: chooses the engine, the note masks and the batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.bm25 import BM25Settings, length_norms
from indexer.compiled import load_native
from indexer.segments.columns import resolve_fields
from indexer.segments.segment import Segment
from patientdx.records import Filter

from .numpy_scan import score_notes
from .ranking import Ranking, ScoredNotes, merge_rankings, top_notes
from .statistics import WeightedTerms

if TYPE_CHECKING:
    from .compiled_scan import CompiledScanner, SegmentQuery

Engine = Literal["auto", "numpy", "compiled"]


class Scorer:
    """Scores weighted queries with fixed statistics and BM25 settings.

    `engine`: "compiled" is many times faster than "numpy"; "auto" uses it if it was built. The
    results are equal to the last bit. `threads` batches of queries are searched in parallel.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        average_length: float,
        settings: BM25Settings,
        *,
        engine: Engine = "auto",
        threads: int = 1,
    ) -> None:
        self._segments = segments
        self._norms = [length_norms(s.lengths, average_length, settings) for s in segments]
        self._compiled = engine == "compiled" or (engine == "auto" and load_native() is not None)
        self._threads = threads
        self._scanners: dict[int, CompiledScanner] = {}
        self._masks = lru_cache(maxsize=4)(self._allowed_masks)

    def rank(
        self, queries: Sequence[WeightedTerms], k: int, where: Filter | None = None
    ) -> list[Ranking]:
        """The k best notes of each query."""
        masks = self._masks(where or Filter())
        if not self._compiled:
            return [self._rank_numpy(query, k, masks) for query in queries]
        if not self._segments:
            return [merge_rankings([], [], k) for _ in queries]
        rows = [self._top_of_segment(s, queries, k, masks[s]) for s in range(len(self._segments))]
        return [merge_rankings(self._segments, best, k) for best in zip(*rows, strict=True)]

    def score_of(self, query: WeightedTerms, s: int, note: int) -> float:
        """The exact score of a note of segment `s`."""
        segment, norm = self._segments[s], float(self._norms[s][note])
        total = 0.0
        for number, weight in zip(query.numbers[s].tolist(), query.weights.tolist(), strict=True):
            tf = segment.frequency(number, note) if number >= 0 else 0.0
            if tf > 0:
                total += weight * (tf / (tf + norm))
        return float(np.float32(total))

    def allowed_mask(self, s: int, where: Filter) -> NDArray[np.bool_] | None:
        """Mask of the live notes of segment `s` that pass a filter; None if all do."""
        return self._masks(where)[s]

    def allowed_masks(self, where: Filter) -> Sequence[NDArray[np.bool_] | None]:
        """`allowed_mask` of every segment."""
        return self._masks(where)

    def scores_at_least(
        self, queries: Sequence[WeightedTerms], floors: Sequence[float], where: Filter | None
    ) -> list[list[ScoredNotes]]:
        """For each query and segment, all notes that score at least the floor (and some below)."""
        masks = self._masks(where or Filter())
        result = []
        for query, floor in zip(queries, floors, strict=True):
            per_segment = []
            for s, segment in enumerate(self._segments):
                scanned = (
                    self._scan(s, [query], segment.notes, masks[s], [floor])[0]
                    if self._compiled
                    else None
                )
                per_segment.append(scanned or self._scores_numpy(query, s, masks[s]))
            result.append(per_segment)
        return result

    def _allowed_masks(self, where: Filter) -> list[NDArray[np.bool_] | None]:
        where = resolve_fields(where, [segment.entry.fields for segment in self._segments])
        masks = []
        for segment in self._segments:
            mask = segment.live_mask
            if not where.is_empty:
                allowed = segment.columns.matching_notes(where)
                mask = allowed if mask is None else allowed & mask
            masks.append(mask)
        return masks

    def _rank_numpy(
        self, query: WeightedTerms, k: int, masks: Sequence[NDArray[np.bool_] | None]
    ) -> Ranking:
        best = [
            top_notes(segment, self._scores_numpy(query, s, masks[s]), k)
            for s, segment in enumerate(self._segments)
        ]
        return merge_rankings(self._segments, best, k)

    def _scores_numpy(
        self, query: WeightedTerms, s: int, mask: NDArray[np.bool_] | None
    ) -> ScoredNotes:
        segment = self._segments[s]
        scores = score_notes(segment, query.numbers[s], query.weights, self._norms[s])
        is_hit = scores > 0 if mask is None else (scores > 0) & mask
        notes = np.flatnonzero(is_hit)
        return ScoredNotes(notes, scores[notes])

    def _top_of_segment(
        self, s: int, queries: Sequence[WeightedTerms], k: int, mask: NDArray[np.bool_] | None
    ) -> list[ScoredNotes]:
        size = self._scanner(s).batch_size(-(-len(queries) // max(1, self._threads)), k)
        parts = [queries[i : i + size] for i in range(0, len(queries), size)]

        def run(part: Sequence[WeightedTerms]) -> list[ScoredNotes]:
            results = self._scan(s, part, k, mask, None)
            return [
                result or top_notes(self._segments[s], self._scores_numpy(query, s, mask), k)
                for query, result in zip(part, results, strict=True)
            ]

        if len(parts) == 1:
            return run(parts[0])
        from threadpoolctl import threadpool_limits

        # A single BLAS thread each: the parallelism is over queries.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, self._threads)) as pool:
            return [scored for done in pool.map(run, parts) for scored in done]

    def _scan(
        self,
        s: int,
        queries: Sequence[WeightedTerms],
        k: int,
        mask: NDArray[np.bool_] | None,
        floors: Sequence[float] | None,
    ) -> list[ScoredNotes | None]:
        """Scans a segment with the compiled engine; None for a query that NumPy must score."""
        from .compiled_scan import SegmentQuery, weights_fit_float32

        restricted = [_segment_query(query, s, SegmentQuery) for query in queries]
        fits = [weights_fit_float32(query.weights) for query in restricted]
        usable = [query for query, fit in zip(restricted, fits, strict=True) if fit]
        floor = [f for f, fit in zip(floors, fits, strict=True) if fit] if floors else None
        scanner = self._scanner(s).with_mask(mask)
        ranked = iter(scanner.search(usable, k, floor) if usable else [])
        return [next(ranked) if fit else None for fit in fits]

    def _scanner(self, s: int) -> "CompiledScanner":
        if s not in self._scanners:
            from .compiled_scan import CompiledScanner

            self._scanners[s] = CompiledScanner(self._segments[s], self._norms[s])
            self._norms[s] = self._scanners[s].norm
        return self._scanners[s]


def _segment_query(query: WeightedTerms, s: int, kind: "type[SegmentQuery]") -> "SegmentQuery":
    """The part of a query whose terms occur in segment `s`."""
    numbers = query.numbers[s]
    present = numbers >= 0
    return kind(numbers[present], query.weights[present])
