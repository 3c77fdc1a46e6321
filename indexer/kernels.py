"""The compiled search kernels (numba): a scan of a segment for a batch of queries.

A scan works block by block (`Layout.block_docs` notes at a time) so that the accumulators stay
in the first-level cache. With norm(d) of `bm25` and

    unit(d) = 1 / (1 + norm(d))                   what a term that occurs once is worth
    tf / (tf + norm) = unit * tf * (1 + norm) / (tf + norm)

the accumulator holds sums in units of unit(d): a term that occurs once adds its bare weight, and
one multiplication a note ends the block. That share is exact to float64. The share of the dense
terms arrives as a float32 approximation with a known error bound; notes that can still reach
the top k are re-scored from the columns in float64. What comes out is the float32 rounding of
the float64 sum in canonical order: where the order of summation might change the rounding, the
note is summed again in that order (`canonical_score`).
"""

from typing import Any

import numba as nb
import numpy as np

from .kernels_few import harvest, touches_few

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")
_EPSILON = 2.0**-52


@_jit
def large_frequency(segment: Any, number: Any, note: Any) -> Any:
    """The true frequency of a posting whose field is full, from the side table."""
    key = (np.uint64(number) << np.uint64(32)) | np.uint64(note)
    low, high = 0, segment.large_keys.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if segment.large_keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    # A damaged file may lack the entry: nothing may be read beyond the table.
    return np.float64(segment.large_values[low]) if low < segment.large_keys.shape[0] else 1.0


@_jit
def relative_impact(tf: Any, norm: Any) -> Any:
    """What `tf` occurrences are worth, in units of one occurrence."""
    return tf * (1.0 + norm) / (tf + norm)


@_jit
def rare_postings(segment: Any, batch: Any) -> None:
    """Fills the rare postings of a batch, counting-sorted by block."""
    blocks, block_docs = batch.rare_pointers.shape[1] - 1, segment.block_docs
    cursor = np.zeros(blocks + 1, dtype=np.int64)
    first = np.int64(0)
    # Numbers beyond the notes come from damaged files only; they must not lead out of arrays.
    last = np.int64(blocks * block_docs - 1)
    for q in range(batch.starts.shape[0] - 1):
        cursor[:] = 0
        for t in range(batch.starts[q], batch.starts[q + 1]):
            if batch.kinds[t] == 0:
                for p in range(batch.places[t], batch.places[t] + batch.counts[t]):
                    cursor[min(np.int64(segment.rare_notes[p]), last) // block_docs + 1] += 1
        cursor[0] = first
        for b in range(blocks):
            cursor[b + 1] += cursor[b]
            batch.rare_pointers[q, b] = cursor[b]
        first = cursor[blocks]
        batch.rare_pointers[q, blocks] = first
        for t in range(batch.starts[q], batch.starts[q + 1]):
            if batch.kinds[t] == 0:
                for p in range(batch.places[t], batch.places[t] + batch.counts[t]):
                    note = min(np.int64(segment.rare_notes[p]), last)
                    tf = np.float64(segment.rare_tfs[p])
                    if tf == 255.0:
                        tf = large_frequency(segment, batch.numbers[t], note)
                    slot = cursor[note // block_docs]
                    cursor[note // block_docs] += 1
                    batch.rare_at[slot] = note
                    value = batch.weights[t] * relative_impact(tf, segment.norm[note])
                    batch.rare_values[slot] = value


@_jit
def scatter(segment: Any, batch: Any, q: Any, block: Any, acc: Any) -> None:
    """Adds blocked and rare terms of query q to the accumulators of one block."""
    first = np.int64(block) * np.int64(segment.block_docs)
    for t in range(batch.starts[q], batch.starts[q + 1]):
        if batch.kinds[t] != 1:
            continue
        row = batch.places[t]
        weight = batch.weights[t]
        base = segment.base[row]
        once = base + np.int64(segment.pointers[row, 2 * block])
        more = base + np.int64(segment.pointers[row, 2 * block + 1])
        end = base + np.int64(segment.pointers[row, 2 * block + 2])
        for p in range(once, more):
            acc[segment.entries[p]] += weight
        for p in range(more, end):
            entry = segment.entries[p]
            offset = np.uint64(entry & np.uint16(4095))
            field = entry >> np.uint16(12)
            note = np.uint64(first) + offset
            # Entries are in order of frequency, so this branch is foreseen; most hold 2.
            if field == 1:
                acc[offset] += weight * segment.twice[note]
            else:
                tf = np.float64(field) + 1.0
                if tf == 16.0:
                    tf = large_frequency(segment, batch.numbers[t], note)
                acc[offset] += weight * relative_impact(tf, segment.norm[note])
    for p in range(batch.rare_pointers[q, block], batch.rare_pointers[q, block + 1]):
        acc[batch.rare_at[p] - first] += batch.rare_values[p]


@_jit
def select_kth(values: Any, count: Any, k: Any) -> Any:
    """The k-th largest (k from 1) of the first `count` values, which are reordered."""
    low, high, target = 0, count - 1, k - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return values[target]


@_jit
def prune(found: Any, q: Any, k: Any, work: Any) -> None:
    """Raises the threshold to what the k-th candidate allows and drops those below it."""
    count = np.int64(found.state[q, 0])
    if count < k:
        return
    for i in range(count):
        work[i] = found.approximate[q, i]
    kth = select_kth(work, count, k)
    # Two errors of the approximation, and what rounding to float32 may make equal.
    threshold = kth - 2.0 * found.state[q, 2] - kth * 2.0**-22
    found.state[q, 1] = max(found.state[q, 1], threshold)
    kept = 0
    for i in range(count):
        if found.approximate[q, i] >= found.state[q, 1]:
            found.notes[q, kept] = found.notes[q, i]
            found.sparse[q, kept] = found.sparse[q, i]
            found.approximate[q, kept] = found.approximate[q, i]
            kept += 1
    found.state[q, 0] = kept


@_jit
def scan(
    segment: Any, batch: Any, found: Any, shares: Any, acc: Any, blocks: Any, notes: Any, k: Any
) -> None:
    """Scans blocks[0] to blocks[1] - 1. `shares`: dense shares there, or no columns if none.

    `acc` has 65,536 zeros, since an entry of a damaged file may be any 16-bit number.
    """
    block_docs = segment.block_docs
    total = np.zeros(block_docs, dtype=np.float64)
    capacity = found.notes.shape[1]
    work = np.empty(capacity, dtype=np.float64)
    filtered = segment.allowed.shape[0] > 0
    shared = shares.shape[1] > 0
    for q in range(batch.starts.shape[0] - 1):
        # Where few notes are touched, looking at these alone beats looking at all.
        few = not shared and touches_few(batch, q, notes)
        acc[:block_docs] = 0.0
        for block in range(blocks[0], blocks[1]):
            first = block * block_docs
            size = min(block_docs, notes - first)
            if filtered and not segment.allowed[first : first + size].any():
                continue
            if found.state[q, 0] + size > capacity:
                prune(found, q, k, work)
                if found.state[q, 0] + size > capacity:
                    found.state[q, 3] = 1.0
                    break
            scatter(segment, batch, q, block, acc)
            if few:
                harvest(segment, batch, found, q, block, size, acc)
                continue
            offset = (block - blocks[0]) * block_docs
            unit = segment.unit[first : first + size]
            if shared:
                share = shares[q, offset : offset + size]
                for i in range(size):
                    total[i] = acc[i] * unit[i] + share[i]
            else:
                for i in range(size):
                    total[i] = acc[i] * unit[i]
            count = np.int64(found.state[q, 0])
            threshold = found.state[q, 1]
            for start in range(0, size, 64):
                # Few stretches hold a note above the threshold: look at all 64 at once first.
                stretch = total[start : min(start + 64, size)]
                above = 0
                for i in range(stretch.shape[0]):
                    above += stretch[i] >= threshold
                if above == 0:
                    continue
                for i in range(start, start + stretch.shape[0]):
                    if total[i] >= threshold and (not filtered or segment.allowed[first + i]):
                        found.notes[q, count] = first + i
                        found.sparse[q, count] = acc[i] * unit[i]
                        found.approximate[q, count] = total[i]
                        count += 1
            found.state[q, 0] = count
            acc[:block_docs] = 0.0


@_jit
def frequency(segment: Any, batch: Any, t: Any, note: Any, block_docs: Any) -> Any:
    """How often a note holds term t of a batch (0.0 where it does not)."""
    kind, place = batch.kinds[t], batch.places[t]
    block, offset = note // block_docs, note % block_docs
    if kind == 2:
        tf = np.float64(segment.dense_rows[note, place])
        return large_frequency(segment, batch.numbers[t], note) if tf == 255.0 else tf
    if kind == 0:
        low, high = place, place + batch.counts[t]
        while low < high:
            middle = (low + high) >> 1
            if segment.rare_notes[middle] < note:
                low = middle + 1
            else:
                high = middle
        if low == place + batch.counts[t] or segment.rare_notes[low] != note:
            return 0.0
        tf = np.float64(segment.rare_tfs[low])
        return large_frequency(segment, batch.numbers[t], note) if tf == 255.0 else tf
    base = segment.base[place]
    for p in range(
        base + np.int64(segment.pointers[place, 2 * block]),
        base + np.int64(segment.pointers[place, 2 * block + 2]),
    ):
        entry = np.int64(segment.entries[p])
        if entry & 4095 == offset:
            tf = np.float64(entry >> 12) + 1.0
            return large_frequency(segment, batch.numbers[t], note) if tf == 16.0 else tf
    return 0.0


@_jit
def canonical_score(segment: Any, batch: Any, q: Any, note: Any, block_docs: Any) -> Any:
    """The score by definition: float64, terms in canonical order."""
    total = 0.0
    for t in range(batch.starts[q], batch.starts[q + 1]):
        tf = frequency(segment, batch, t, note, block_docs)
        if tf > 0.0:
            total += batch.weights[t] * (tf / (tf + segment.norm[note]))
    return total


@_jit
def finish(segment: Any, batch: Any, found: Any, q: Any, k: Any, scores: Any) -> Any:
    """Exact float32 scores of the candidates of query q; returns how many there are."""
    block_docs = segment.block_docs
    work = np.empty(found.notes.shape[1], dtype=np.float64)
    prune(found, q, k, work)
    count = np.int64(found.state[q, 0])
    work[:count] = found.sparse[q, :count]
    terms = np.empty(batch.starts[q + 1] - batch.starts[q], dtype=np.int64)
    dense = 0
    for t in range(batch.starts[q], batch.starts[q + 1]):
        if batch.kinds[t] == 2:
            terms[dense] = t
            dense += 1
    for i in range(count):
        note = np.int64(found.notes[q, i])
        # Where norm(d) is zero, no occurrence must still be worth zero; one is worth one.
        norm = max(segment.norm[note], 1e-300)
        share = 0.0
        for j in range(dense):
            t = terms[j]
            tf = np.float64(segment.dense_rows[note, batch.places[t]])
            if tf == 255.0:
                tf = large_frequency(segment, batch.numbers[t], note)
            share += batch.weights[t] * (tf / (tf + norm))
        work[i] += share
    slack = (batch.starts[q + 1] - batch.starts[q] + 16) * _EPSILON
    for i in range(count):
        note = np.int64(found.notes[q, i])
        scores[i] = np.float32(work[i])
        if np.float32(work[i] * (1.0 - slack)) != np.float32(work[i] * (1.0 + slack)):
            scores[i] = np.float32(canonical_score(segment, batch, q, note, block_docs))
    return count
