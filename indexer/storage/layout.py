"""How postings are laid out in a segment, and why.

A query here is a whole note: some 250 distinct terms, most of whose postings belong to a few
hundred very common terms. Three kinds of terms are stored differently:

* dense: held by at least `dense_share` of the notes. One byte of term frequency for every note,
  no ids, stored twice: in columns a block for queries with few of them, in rows a note for whole
  notes and for exact re-scoring.
* blocked: 16-bit entries by block of `block_docs` notes and, within a block, by term: a scan adds
  into accumulators that stay in the first-level cache, and a batch of queries finds the postings
  of a block in the second. Terms held by at least `blocked_per_block` notes for each block there
  is. An entry is `(tf - 1) << 12 | offset`; notes that hold a term once come first (bare offsets),
  then those that hold it twice.
* rare: everything else, as plain note numbers and frequencies.

Frequencies that do not fit their field stand in a side table sorted by term and note.
"""

from dataclasses import asdict, dataclass
from typing import Any

from patientdx.errors import InputError

RARE, BLOCKED, DENSE = 0, 1, 2
OFFSET_BITS = 12
ENTRY_TF_MAX = 16
"""An entry with this frequency means "this or more": the side table has the true one."""
BYTE_TF_MAX = 255
"""The same for dense and rare terms."""
ROW_LANES = 16
"""Rows of dense terms are filled up to whole vectors."""


@dataclass(frozen=True)
class Layout:
    """The sizes that decide how a term is stored.

    `block_docs` is at most 4,096. Raises InputError for another.
    """

    block_docs: int = 4096
    dense_share: float = 0.25
    dense_min_notes: int = 4096
    blocked_per_block: float = 8.0

    def __post_init__(self) -> None:
        if not 1 <= self.block_docs <= 1 << OFFSET_BITS:
            raise InputError(f"a block cannot have {self.block_docs} notes")

    def to_json(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return asdict(self)

    def blocks(self, notes: int) -> int:
        """Number of blocks that `notes` notes fill."""
        return -(-notes // self.block_docs)
