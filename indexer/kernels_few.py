"""Compiled kernels for queries that touch few notes: only these are looked at."""

from typing import Any

import numba as nb
import numpy as np

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def touches_few(batch: Any, q: Any, notes: Any) -> Any:
    """True where a query has no dense term and at most a posting for every fourth note."""
    postings = 0
    for t in range(batch.starts[q], batch.starts[q + 1]):
        if batch.kinds[t] == 2:
            return False
        postings += batch.counts[t]
    return 4 * postings <= notes


@_jit
def keep_touched(segment: Any, found: Any, q: Any, first: Any, offset: Any, acc: Any) -> None:
    """Makes a touched note a candidate if it may be one, and clears its accumulator."""
    value = acc[offset]
    if value == 0.0:
        return
    acc[offset] = 0.0
    note = first + np.int64(offset)
    score = value * segment.unit[note]
    allowed = segment.allowed.shape[0] == 0 or segment.allowed[note] != 0
    if score >= found.state[q, 1] and allowed:
        count = np.int64(found.state[q, 0])
        found.notes[q, count] = note
        found.sparse[q, count] = score
        found.approximate[q, count] = score
        found.state[q, 0] = count + 1


@_jit
def harvest(segment: Any, batch: Any, found: Any, q: Any, block: Any, size: Any, acc: Any) -> None:
    """Candidates among the notes that `scatter` touched; leaves the accumulators at zero."""
    first = np.int64(block) * np.int64(segment.block_docs)
    for t in range(batch.starts[q], batch.starts[q + 1]):
        if batch.kinds[t] == 1:
            row = batch.places[t]
            base = segment.base[row]
            for p in range(
                base + np.int64(segment.pointers[row, 2 * block]),
                base + np.int64(segment.pointers[row, 2 * block + 2]),
            ):
                offset = np.uint64(segment.entries[p] & np.uint16(4095))
                if offset < size:
                    keep_touched(segment, found, q, first, offset, acc)
    for p in range(batch.rare_pointers[q, block], batch.rare_pointers[q, block + 1]):
        rare = np.int64(batch.rare_at[p]) - first
        if rare < size:
            keep_touched(segment, found, q, first, rare, acc)
