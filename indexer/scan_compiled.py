"""Driving the compiled kernels: batches of queries over one segment.

Notes are scanned in groups of blocks. For each group the share of the dense terms is computed
for the whole batch as one matrix product (float32, by the BLAS of NumPy), then the kernel adds
the other terms and keeps candidates.
"""

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .kernel_types import Candidates, KernelBatch, KernelSegment
from .kernels import finish, rare_postings, scan
from .kernels_dense import dense_impacts, fill_rows, share_by_column, share_by_row
from .layout import BYTE_TF_MAX, DENSE, OFFSET_BITS, RARE
from .segment import Segment

GROUP_NOTES = 1 << 14
BATCH_BYTES = 48 << 20
BATCH_QUERIES = 128
MIN_CAPACITY = 1024
_UNIT32 = 2.0**-24
_LANES = 16
_MAX_BLOCK = 1 << OFFSET_BITS
_FEW = 8


class SegmentQuery(NamedTuple):
    """The terms of a query that a segment holds, in canonical order, with their weights."""

    numbers: NDArray[np.int64]
    weights: NDArray[np.float64]


class Ranked(NamedTuple):
    """Notes of a segment with their exact scores."""

    notes: NDArray[np.int64]
    scores: NDArray[np.float32]


def within_range(weights: NDArray[np.float64]) -> bool:
    """True where float32 can hold the weights without under- or overflow."""
    return not len(weights) or bool(weights.min() > 1e-25 and weights.max() < 1e25)


class CompiledScanner:
    """Scans one segment under fixed statistics, settings and filter."""

    def __init__(self, segment: Segment, norm: NDArray[np.float64]) -> None:
        self._segment = segment
        layout, arrays = segment.layout, segment.arrays
        self._blocks = layout.blocks(segment.notes)
        padded = np.ones(self._blocks * layout.block_docs + _MAX_BLOCK, dtype=np.float64)
        padded[: segment.notes] = norm
        self.norm = padded[: segment.notes]
        self._kernel = KernelSegment(
            layout.block_docs,
            arrays.rare_notes,
            arrays.rare_tfs,
            segment.container.loaded("blocked_entries"),
            arrays.pointers,
            arrays.base,
            _dense_rows(segment),
            arrays.large_keys,
            arrays.large_values,
            padded,
            1.0 / (1.0 + padded),
            2.0 * (1.0 + padded) / (2.0 + padded),
            # Zero occurrences must be worth zero even where norm(d) is zero.
            np.maximum(padded, 1e-30).astype(np.float32),
            np.zeros(0, np.uint8),
        )
        owners = (arrays.large_keys >> np.uint64(32)).astype(np.int64)
        cut = bool(np.any(arrays.kind[owners] == DENSE))
        self._cut = float(padded.max()) if cut else 0.0

    def filtered(self, allowed: NDArray[np.bool_] | None) -> "CompiledScanner":
        """The same scanner, restricted to the notes that are allowed."""
        if allowed is None:
            return self
        other = copy(self)
        other._restrict(allowed)  # noqa: SLF001 - a copy of this very class
        return other

    def _restrict(self, allowed: NDArray[np.bool_]) -> None:
        self._kernel = self._kernel._replace(allowed=allowed.astype(np.uint8))

    def batches(self, queries: int, k: int) -> int:
        """How many queries to take at once so that candidates fit the memory set for them."""
        return max(1, min(BATCH_QUERIES, queries, BATCH_BYTES // (20 * self._capacity(k))))

    def search(
        self,
        queries: Sequence[SegmentQuery],
        k: int,
        floors: Sequence[float] | None = None,
    ) -> list[Ranked | None]:
        """Every note that may belong to the k best, with exact scores, unordered.

        `floors` gives, per query, a score below which notes are of no interest. None stands for
        a query that has too many ties for the candidate table: the caller scores it otherwise.
        """
        batch = self._batch(queries)
        found = self._candidates(len(queries), k, self._errors(queries), floors)
        group = max(1, GROUP_NOTES // self._segment.layout.block_docs)
        rare_postings(self._kernel, batch)
        if len(queries) == 1:
            group = self._blocks
        # Zeroed lazily by the system: only what sound entries touch costs anything.
        acc = np.zeros(1 << 16, dtype=np.float64)
        shares = _Shares(self._segment, self._kernel, queries)
        for first in range(0, self._blocks, group):
            last = min(first + group, self._blocks)
            share = shares.of_blocks(first, last)
            blocks = np.array([first, last])
            scan(self._kernel, batch, found, share, acc, blocks, self._segment.notes, k)
        return [self._finish(batch, found, q, k) for q in range(len(queries))]

    def _capacity(self, k: int) -> int:
        wanted = max(4 * k, MIN_CAPACITY)
        return min(wanted, self._segment.notes) + self._segment.layout.block_docs

    def _candidates(
        self, queries: int, k: int, errors: Sequence[float], floors: Sequence[float] | None
    ) -> Candidates:
        capacity = self._capacity(k)
        state = np.zeros((queries, 4), dtype=np.float64)
        # The smallest positive number: a score of zero is no hit.
        state[:, 1] = np.nextafter(0.0, 1.0)
        state[:, 2] = errors
        if floors is not None:
            lowered = np.asarray(floors) * (1 - 2.0**-22) - 2 * state[:, 2]
            state[:, 1] = np.maximum(state[:, 1], lowered)
        return Candidates(
            np.empty((queries, capacity), dtype=np.uint32),
            np.empty((queries, capacity), dtype=np.float64),
            np.empty((queries, capacity), dtype=np.float64),
            state,
        )

    def _batch(self, queries: Sequence[SegmentQuery]) -> KernelBatch:
        arrays = self._segment.arrays
        starts = np.cumsum([0, *(len(query.numbers) for query in queries)])
        numbers = np.concatenate([query.numbers for query in queries])
        kinds, places = arrays.kind[numbers], arrays.place[numbers]
        counts = arrays.df[numbers].astype(np.int64)
        rare = int(counts[kinds == RARE].sum())
        return KernelBatch(
            starts,
            numbers,
            kinds,
            places,
            counts,
            np.concatenate([query.weights for query in queries]),
            np.zeros((len(queries), self._blocks + 1), dtype=np.int64),
            np.empty(rare, dtype=np.uint32),
            np.empty(rare, dtype=np.float64),
        )

    def _errors(self, queries: Sequence[SegmentQuery]) -> list[float]:
        """Bound on the error of the approximate scores: float32 sums of dense shares.

        n products of rounded factors, summed: (n + 8) * 2^-24 relative to the sum of weights.
        Columns that are cut at 255 add what lies between 255 occurrences and infinitely many.
        """
        kind = self._segment.arrays.kind
        columns = self._segment.arrays.dense_tfs.shape[1]
        relative = (columns + 8) * _UNIT32 + self._cut / (BYTE_TF_MAX + self._cut)
        return [relative * float(q.weights[kind[q.numbers] == DENSE].sum()) for q in queries]

    def _finish(self, batch: KernelBatch, found: Candidates, q: int, k: int) -> Ranked | None:
        if found.state[q, 3]:
            return None
        scores = np.empty(found.notes.shape[1], dtype=np.float32)
        count = finish(self._kernel, batch, found, q, k, scores)
        return Ranked(found.notes[q, :count].astype(np.int64), scores[:count])


class _Shares:
    """The dense share of each query of a batch, for groups of blocks."""

    def __init__(
        self, segment: Segment, kernel: KernelSegment, queries: Sequence[SegmentQuery]
    ) -> None:
        self._kernel = kernel
        self._columns = segment.arrays.dense_tfs
        self._block_docs = segment.layout.block_docs
        kind, place = segment.arrays.kind, segment.arrays.place
        self._weights = np.zeros((len(queries), kernel.dense_rows.shape[1]), dtype=np.float32)
        for q, query in enumerate(queries):
            dense = kind[query.numbers] == DENSE
            self._weights[q, place[query.numbers[dense]]] = query.weights[dense]
        # Short queries hold few of the common terms: reading those columns alone is less work.
        self._few = np.count_nonzero(self._weights) * _FEW < self._weights.size

    def of_blocks(self, first: int, last: int) -> NDArray[np.float32]:
        """Shape (queries, notes of the blocks); no notes where no query has a dense term."""
        notes = (last - first) * self._block_docs
        if not self._weights.any():
            return np.zeros((len(self._weights), 0), dtype=np.float32)
        if self._few:
            return self._by_column(first, notes)
        if len(self._weights) == 1:
            share = np.zeros((1, notes), dtype=np.float32)
            share_by_row(self._kernel.dense_rows, self._weights[0], self._kernel.norm32, share[0])
            return share
        rows = self._kernel.dense_rows
        impacts = np.zeros((notes, rows.shape[1]), dtype=np.float32)
        dense_impacts(rows, self._kernel.norm32, first * self._block_docs, impacts)
        return self._weights @ impacts.T

    def _by_column(self, first: int, notes: int) -> NDArray[np.float32]:
        share = np.zeros((len(self._weights), notes), dtype=np.float32)
        for q, weights in enumerate(self._weights):
            used = np.flatnonzero(weights)
            norm = self._kernel.norm32
            share_by_column(self._columns, used, weights[used], norm, first, share[q])
        return share


def _dense_rows(segment: Segment) -> NDArray[np.uint8]:
    """The dense columns turned into rows: re-scoring a note then reads a few cache lines.

    Rows are filled up with zeros to whole vectors. Blocks are read, not mapped, so that the
    columns do not stay in memory beside the rows.
    """
    blocks, terms, size = segment.arrays.dense_tfs.shape
    rows = np.zeros((segment.notes, -(-terms // _LANES) * _LANES), dtype=np.uint8)
    for block in range(blocks):
        first = block * size
        columns = segment.container.loaded("dense_tfs", block)
        fill_rows(columns, rows[first : first + size])
    return rows
