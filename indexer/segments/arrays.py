"""The arrays of a segment that a scan reads, with a consistency check against damaged files."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader
from indexer.storage.layout import DENSE, RARE, Layout


class SegmentArrays(NamedTuple):
    """The arrays of a segment that a scan reads, in the order the compiled engine expects.

    See docs/method/index-format.md for their meaning.
    """

    df: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    place: NDArray[np.int64]
    rare_notes: NDArray[np.uint32]
    rare_tfs: NDArray[np.uint8]
    entries: NDArray[np.uint16]
    pointers: NDArray[np.uint32]
    base: NDArray[np.int64]
    dense_tfs: NDArray[np.uint8]
    dense_rows: NDArray[np.uint8]
    large_keys: NDArray[np.uint64]
    large_values: NDArray[np.uint32]

    @classmethod
    def read(cls, container: ContainerReader) -> "SegmentArrays":
        """Maps the arrays of a container."""
        return cls(
            container.array("term_df"),
            container.array("term_kind"),
            container.array("term_place"),
            container.array("rare_notes"),
            container.array("rare_tfs"),
            container.array("blocked_entries"),
            container.array("blocked_pointers"),
            container.array("blocked_base"),
            container.array("dense_tfs"),
            container.array("dense_rows"),
            container.array("large_keys"),
            container.array("large_values"),
        )

    @property
    def rows(self) -> int:
        """Number of blocked terms."""
        return int(self.pointers.shape[1]) // 3

    def is_consistent(self, notes: int, layout: Layout) -> bool:
        """True if no pointer leads out of its array."""
        rows, blocks = self.rows, layout.blocks(notes)
        kinds = np.minimum(self.kind, DENSE)
        limits = np.choose(kinds, [len(self.rare_notes) + 1, rows, self.dense_tfs.shape[1]])
        rare = self.kind == RARE
        rare_end = self.place[rare] + self.df[rare]
        ends = self.base + self.pointers[:, -1]
        return bool(
            self.pointers.shape == (blocks, 3 * rows + 1)
            and len(self.base) == blocks
            and len(self.dense_tfs) in {0, blocks}
            and len(self.dense_rows) in {0, notes}
            and self.dense_rows.shape[1] >= self.dense_tfs.shape[1]
            and np.all(self.kind <= DENSE)
            and np.all((self.place >= 0) & (self.place < limits))
            and np.all(rare_end <= len(self.rare_notes))
            and np.all(self.pointers[:, 1:] >= self.pointers[:, :-1])
            and np.all((self.base >= 0) & (ends <= len(self.entries)))
            and all_below(self.large_keys >> np.uint64(32), len(self.kind))
        )


def all_below(numbers: NDArray[Any], limit: int) -> bool:
    """True if all numbers are below `limit`."""
    return not len(numbers) or int(numbers.max()) < limit
