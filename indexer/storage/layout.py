"""The layout of postings in a segment, and the reasons for it.

A query is typically a whole note: some 250 distinct terms, and most of their postings belong to
a few hundred very common terms. Three kinds of terms are stored differently:

* dense: terms in at least `dense_share` of the notes. A byte of term frequency for every note,
  without ids, stored twice: in columns per block, for queries with few dense terms, and in rows
  per note, for whole-note queries and exact re-scoring.
* blocked: terms in at least `blocked_per_block` notes per block, on average. 16-bit entries,
  grouped by block of `block_docs` notes and then by term, so that the accumulators of a scan stay
  in the first-level cache, and the postings of a block in the second for a batch of queries. An
  entry is `(tf - 1) << 12 | offset`; entries of a term with frequency 1 come first (bare offsets),
  then those with frequency 2.
* rare: all other terms, as plain note numbers and frequencies.

Frequencies too large for their field are in a side table, sorted by term and note.
"""

from dataclasses import asdict, dataclass
from typing import Any

from patientdx.errors import InputError

RARE, BLOCKED, DENSE = 0, 1, 2
OFFSET_BITS = 12
ENTRY_TF_MAX = 16
"""An entry with this frequency means "this or more": the side table has the exact one."""
BYTE_TF_MAX = 255
"""The same for dense and rare terms."""
ROW_LANES = 16
"""Rows of dense terms are padded to a multiple of this."""


@dataclass(frozen=True)
class Layout:
    """The thresholds that decide how a term is stored.

    Raises InputError unless `block_docs` is between 1 and 4,096.
    """

    block_docs: int = 4096
    dense_share: float = 0.25
    dense_min_notes: int = 4096
    blocked_per_block: float = 8.0

    def __post_init__(self) -> None:
        if not 1 <= self.block_docs <= 1 << OFFSET_BITS:
            raise InputError(f"a block cannot have {self.block_docs} notes")

    def to_json(self) -> dict[str, Any]:
        """The layout as stored in the manifest."""
        return asdict(self)

    def blocks(self, notes: int) -> int:
        """Number of blocks for `notes` notes."""
        return -(-notes // self.block_docs)
