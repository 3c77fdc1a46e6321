"""Compiled steps of building a segment; `postings` and `term_writer` hold the plain versions."""

from typing import Any

import numba as nb
import numpy as np

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def sort_by_term(terms: Any, tfs: Any, bounds: Any, distinct: Any) -> Any:
    """A counting sort of postings by term; notes of a term stay in order.

    `bounds` delimit the postings of each note. Returns (terms that occur, where the postings of
    each begin, notes, tfs).
    """
    starts = np.zeros(distinct + 1, dtype=np.int64)
    for p in range(terms.shape[0]):
        starts[terms[p] + 1] += 1
    present = 0
    for t in range(distinct):
        present += starts[t + 1] > 0
        starts[t + 1] += starts[t]
    kept = np.empty(present, dtype=np.uint32)
    kept_starts = np.empty(present + 1, dtype=np.int64)
    at = 0
    for t in range(distinct):
        if starts[t + 1] > starts[t]:
            kept[at] = t
            kept_starts[at] = starts[t]
            at += 1
    kept_starts[present] = terms.shape[0]
    out_notes = np.empty(terms.shape[0], dtype=np.uint16)
    out_tfs = np.empty(terms.shape[0], dtype=np.uint32)
    for note in range(bounds.shape[0] - 1):
        for p in range(bounds[note], bounds[note + 1]):
            slot = starts[terms[p]]
            starts[terms[p]] = slot + 1
            out_notes[slot] = note
            out_tfs[slot] = tfs[p]
    return kept, kept_starts, out_notes, out_tfs


@_jit
def place_blocked(counts: Any, notes: Any, tfs: Any, block_docs: Any, pointers: Any) -> Any:
    """Entries of blocked terms in stored order; fills `pointers` (rows, 2 * blocks + 1)."""
    entries = np.empty(notes.shape[0], dtype=np.uint16)
    blocks = (pointers.shape[1] - 1) // 2
    # Three places a block: notes that hold the term once, twice, more often.
    cursor = np.zeros(3 * blocks + 1, dtype=np.int64)
    first = 0
    for row in range(counts.shape[0]):
        last = first + counts[row]
        cursor[:] = 0
        for p in range(first, last):
            cursor[3 * (notes[p] // block_docs) + np.int64(min(tfs[p], 3))] += 1
        for g in range(3 * blocks):
            cursor[g + 1] += cursor[g]
        for b in range(blocks):
            pointers[row, 2 * b + 1] = cursor[3 * b + 1]
            pointers[row, 2 * b + 2] = cursor[3 * b + 3]
        for p in range(first, last):
            field = np.int64(min(tfs[p], 16)) - 1
            group = 3 * (notes[p] // block_docs) + np.int64(min(tfs[p], 3)) - 1
            entries[first + cursor[group]] = (field << 12) | (notes[p] % block_docs)
            cursor[group] += 1
        first = last
    return entries
