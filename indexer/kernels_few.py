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
def harvest(segment: Any, batch: Any, found: Any, q: Any, block: Any, size: Any, acc: Any) -> None:
    """Candidates among the notes that `scatter` touched; leaves the accumulators at zero.

    Arrays are taken out of their tuples first: inside the loop that would cost more than the
    work itself.
    """
    block_docs = np.int64(segment.block_docs)
    first = np.int64(block) * block_docs
    unit = segment.unit[first : first + size]
    allowed, entries, pointers = segment.allowed, segment.entries, segment.pointers
    filtered = allowed.shape[0] > 0
    notes, sparse, approximate = found.notes[q], found.sparse[q], found.approximate[q]
    count, threshold = np.int64(found.state[q, 0]), found.state[q, 1]
    rare_at = batch.rare_at
    rare = batch.rare_pointers[q, block]
    kinds, places = batch.kinds, batch.places
    last = batch.starts[q + 1]
    # The last turn, beyond the terms, is for the rare postings of this block.
    for t in range(batch.starts[q], last + 1):
        if t < last:
            if kinds[t] != 1:
                continue
            base = segment.base[places[t]]
            start = base + np.int64(pointers[places[t], 2 * block])
            end = base + np.int64(pointers[places[t], 2 * block + 2])
        else:
            start, end = rare, batch.rare_pointers[q, block + 1]
        for p in range(start, end):
            if t < last:
                offset = np.int64(entries[p] & np.uint16(4095))
            else:
                offset = np.int64(rare_at[p]) - first
            value = acc[offset]
            if value == 0.0 or offset >= size:
                continue
            acc[offset] = 0.0
            score = value * unit[offset]
            if score >= threshold and (not filtered or allowed[first + offset] != 0):
                notes[count] = first + offset
                sparse[count] = score
                approximate[count] = score
                count += 1
    found.state[q, 0] = count
