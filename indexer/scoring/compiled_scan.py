"""Scanning a segment with the compiled engine, for batches of queries.

For queries with many common terms, the share of these terms is computed for the whole batch as a
matrix product per block (float32, by NumPy's BLAS); the engine adds the other terms and keeps
candidates. Single and short queries are left to the engine alone.
"""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.compiled import require_native
from indexer.segments.segment import Segment
from indexer.storage.layout import BYTE_TF_MAX, DENSE, OFFSET_BITS

from .ranking import ScoredNotes

if TYPE_CHECKING:
    from indexer._native import Scan

BATCH_BYTES = 48 << 20
BATCH_QUERIES = 128
MIN_CAPACITY = 1024
_UNIT32 = 2.0**-24
_MAX_BLOCK = 1 << OFFSET_BITS
_FEW = 8
"""Queries with less than 1/8 of the dense terms are faster without the matrix product."""


class SegmentQuery(NamedTuple):
    """The terms of a query that occur in a segment, in canonical order, with their weights."""

    numbers: NDArray[np.int64]
    weights: NDArray[np.float64]


def weights_fit_float32(weights: NDArray[np.float64]) -> bool:
    """True if the weights fit float32 without underflow or overflow."""
    return not len(weights) or bool(weights.min() > 1e-25 and weights.max() < 1e25)


class CompiledScanner:
    """Scans a segment with fixed statistics, BM25 settings and filter."""

    def __init__(self, segment: Segment, norm: NDArray[np.float64]) -> None:
        self._segment = segment
        self._native = require_native()
        layout, arrays = segment.layout, segment.arrays
        self._blocks = layout.blocks(segment.notes)
        padded = np.ones(self._blocks * layout.block_docs + _MAX_BLOCK, dtype=np.float64)
        padded[: segment.notes] = norm
        self.norm = padded[: segment.notes]
        unit = 1.0 / (1.0 + padded)
        self._arrays = self._native.Segment(
            segment.notes,
            layout.block_docs,
            self._blocks,
            arrays.rows,
            arrays.dense_tfs.shape[1],
            arrays.dense_rows.shape[1],
            (
                *arrays,
                padded,
                unit,
                2.0 * (1.0 + padded) / (2.0 + padded),
                # A frequency of zero must score zero even where norm(d) is zero.
                np.maximum(padded, 1e-30).astype(np.float32),
                unit.astype(np.float32),
                segment.ids.rank,
            ),
        )
        self._relative_error = self._share_error_bound(float(padded.max()))
        self._allowed: NDArray[np.uint8] | None = None

    def with_mask(self, allowed: NDArray[np.bool_] | None) -> "CompiledScanner":
        """This scanner, restricted to the notes of a mask."""
        if allowed is None:
            return self
        other = copy(self)
        other._allowed = allowed.view(np.uint8)  # noqa: SLF001 - a copy of this very class
        return other

    def batch_size(self, queries: int, k: int) -> int:
        """Number of queries per batch, such that their candidates fit BATCH_BYTES."""
        return max(1, min(BATCH_QUERIES, queries, BATCH_BYTES // (20 * self._capacity(k))))

    def search(
        self,
        queries: Sequence[SegmentQuery],
        k: int,
        floors: Sequence[float] | None = None,
    ) -> list[ScoredNotes | None]:
        """The k best notes of each query, best first, with exact scores.

        `floors` holds a score for each query, below which notes are ignored. The result is None
        for a query with too many ties for the candidate table; NumPy must score it then.
        """
        k = min(k, self._segment.notes)
        scan = self._native.Scan(
            self._arrays,
            np.cumsum([0, *(len(query.numbers) for query in queries)]),
            np.concatenate([query.numbers for query in queries]),
            np.concatenate([query.weights for query in queries]),
            k,
            self._capacity(k),
            self._relative_error,
            None if floors is None else np.array(floors, dtype=np.float64),
            self._allowed,
        )
        weights = self._dense_weights(queries) if len(queries) >= _FEW else None
        if weights is None or np.count_nonzero(weights) * _FEW < weights.size:
            scan.run()
        else:
            self._scan_with_product(scan, weights)
        return [self._finish(scan, q, k) for q in range(len(queries))]

    def _scan_with_product(self, scan: "Scan", weights: NDArray[np.float32]) -> None:
        size, notes = self._segment.layout.block_docs, self._segment.notes
        impacts = np.empty((size, weights.shape[1]), dtype=np.float32)
        for block in range(self._blocks):
            width = min(size, notes - block * size)
            self._arrays.dense_impacts(block * size, impacts[:width])
            scan.run_blocks(block, block + 1, weights @ impacts[:width].T)

    def _capacity(self, k: int) -> int:
        candidates = min(max(4 * k, MIN_CAPACITY), self._segment.notes)
        return candidates + self._segment.layout.block_docs

    def _dense_weights(self, queries: Sequence[SegmentQuery]) -> NDArray[np.float32]:
        """Weights of the dense terms, shape (queries, row length)."""
        arrays = self._segment.arrays
        weights = np.zeros((len(queries), arrays.dense_rows.shape[1]), dtype=np.float32)
        for q, query in enumerate(queries):
            dense = arrays.kind[query.numbers] == DENSE
            weights[q, arrays.place[query.numbers[dense]]] = query.weights[dense]
        return weights

    def _share_error_bound(self, norm: float) -> float:
        """Error bound of float32 sums of dense shares, relative to the sum of weights.

        A sum of n products of rounded factors has the error (n + 8) * 2^-24. Frequencies capped
        at 255 add the difference between the impact of 255 occurrences and the limit of 1.
        """
        arrays = self._segment.arrays
        owners = (arrays.large_keys >> np.uint64(32)).astype(np.int64)
        cut = norm if bool(np.any(arrays.kind[owners] == DENSE)) else 0.0
        return (int(arrays.dense_rows.shape[1]) + 8) * _UNIT32 + cut / (BYTE_TF_MAX + cut)

    def _finish(self, scan: "Scan", q: int, k: int) -> ScoredNotes | None:
        notes, scores = np.empty(k, dtype=np.uint32), np.empty(k, dtype=np.float32)
        count = scan.top_notes(q, notes, scores)
        return None if count < 0 else ScoredNotes(notes[:count].astype(np.int64), scores[:count])
