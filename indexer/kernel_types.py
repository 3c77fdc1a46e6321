"""What the compiled search kernels work on: a segment, a batch of queries, candidates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class KernelSegment(NamedTuple):
    """The arrays of a segment as the kernels read them.

    norm, unit and twice (what one and two occurrences are worth, the latter in units of the
    former) are padded to whole blocks and one more, so that no offset leads out of them.
    """

    block_docs: int
    rare_notes: NDArray[np.uint32]
    rare_tfs: NDArray[np.uint8]
    entries: NDArray[np.uint16]
    pointers: NDArray[np.uint32]
    base: NDArray[np.int64]
    dense_rows: NDArray[np.uint8]
    large_keys: NDArray[np.uint64]
    large_values: NDArray[np.uint32]
    norm: NDArray[np.float64]
    unit: NDArray[np.float64]
    twice: NDArray[np.float64]
    norm32: NDArray[np.float32]
    allowed: NDArray[np.uint8]


class KernelBatch(NamedTuple):
    """Queries of a batch, one after another: query q owns terms starts[q] to starts[q + 1].

    Rare postings are sorted by block: those of query q in block b are
    rare_pointers[q, b] to rare_pointers[q, b + 1].
    """

    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: NDArray[np.float64]
    rare_pointers: NDArray[np.int64]
    rare_at: NDArray[np.uint32]
    rare_values: NDArray[np.float64]


class Candidates(NamedTuple):
    """Notes that may reach the top k, per query: (queries, capacity) arrays.

    `state` holds, per query: number of candidates, threshold, error bound, 1.0 if it overflowed.
    """

    notes: NDArray[np.uint32]
    sparse: NDArray[np.float64]
    approximate: NDArray[np.float64]
    state: NDArray[np.float64]
