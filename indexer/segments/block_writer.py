"""Writing the block-wise parts of a segment: entries of blocked terms, columns and rows of dense.

Each run of the collector holds whole blocks, so the runs are written one after another.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.compiled import require_native
from indexer.storage.container import ContainerWriter
from indexer.storage.layout import BYTE_TF_MAX, ENTRY_TF_MAX, OFFSET_BITS, ROW_LANES

from .postings import Run


class SegmentShape(NamedTuple):
    """The sizes of a segment, and whether to use the compiled engine."""

    notes: int
    blocks: int
    block_docs: int
    compiled: bool


class TermRows(NamedTuple):
    """Terms of one kind: their number, and the row of each provisional id (-1: another kind)."""

    number: int
    of_term: NDArray[np.int32]


def assign_rows(chosen: NDArray[np.int64], terms: int) -> TermRows:
    """Assigns rows to terms in the order of `chosen`, which lists their provisional ids."""
    of_term = np.full(terms, -1, dtype=np.int32)
    of_term[chosen] = np.arange(len(chosen), dtype=np.int32)
    return TermRows(len(chosen), of_term)


def write_blocked(
    writer: ContainerWriter, runs: Sequence[Run], rows: TermRows, shape: SegmentShape
) -> None:
    """Writes the entries of blocked terms, and the pointers to them.

    `blocked_pointers[block]` holds, for each term, where its entries with a frequency of 1, 2 and
    more begin, relative to `blocked_base[block]`.
    """
    pointers = np.zeros((shape.blocks, 3 * rows.number + 1), dtype=np.uint32)
    encode = _encode_compiled if shape.compiled else _encode_numpy
    with writer.stream("blocked_entries", "u2") as section:
        for run, first, last in _runs_with_blocks(runs, shape):
            own = rows.of_term[run.terms]
            section.write(encode(run, own, shape.block_docs, pointers[first:last]))
    writer.add("blocked_pointers", pointers)
    totals = pointers[:, -1].astype(np.int64)
    writer.add("blocked_base", np.cumsum(totals) - totals)


def _runs_with_blocks(runs: Sequence[Run], shape: SegmentShape) -> Iterator[tuple[Run, int, int]]:
    """Each run with its range of blocks: first block and end (exclusive)."""
    firsts = [run.first_note // shape.block_docs for run in runs]
    for run, first, last in zip(runs, firsts, [*firsts[1:], shape.blocks], strict=True):
        yield run, first, last
        run.release_pages()


def _encode_compiled(
    run: Run, rows: NDArray[np.int32], block_docs: int, pointers: NDArray[np.uint32]
) -> NDArray[np.uint16]:
    """Encodes postings as 16-bit entries in stored order, and fills `pointers`.

    `rows` holds the row of each term of the run.
    """
    entries = np.empty(int(np.diff(run.starts)[rows >= 0].sum()), dtype=np.uint16)
    counts = np.zeros(len(pointers) * (pointers.shape[1] - 1) + 1, dtype=np.int64)
    require_native().encode_blocked(
        rows, run.starts, run.notes, run.tfs, block_docs, counts, pointers, entries
    )
    return entries


def _encode_numpy(
    run: Run, rows: NDArray[np.int32], block_docs: int, pointers: NDArray[np.uint32]
) -> NDArray[Any]:
    """`_encode_compiled` in NumPy."""
    row = np.repeat(rows.astype(np.int64), np.diff(run.starts))
    held = np.flatnonzero(row >= 0)
    block, offset = np.divmod(run.notes[held].astype(np.int64), block_docs)
    tfs = run.tfs[held].astype(np.int64)
    groups = pointers.shape[1] - 1
    group = block * groups + 3 * row[held] + np.minimum(tfs, 3) - 1
    sizes = np.bincount(group, minlength=len(pointers) * groups).reshape(len(pointers), groups)
    pointers[:, 1:] = np.cumsum(sizes, axis=1)
    entry = ((np.minimum(tfs, ENTRY_TF_MAX) - 1) << OFFSET_BITS) | offset
    return entry[np.argsort(group, kind="stable")]


def write_dense(
    writer: ContainerWriter, runs: Sequence[Run], rows: TermRows, shape: SegmentShape
) -> None:
    """Writes the frequencies of dense terms twice: in columns, for queries with few of them, and
    in rows, for whole-note queries and exact scores.

    Columns have the shape (blocks, dense terms, block_docs), rows (notes, dense terms rounded up
    to a multiple of ROW_LANES).
    """
    with writer.stream("dense_tfs", "u1", (rows.number, shape.block_docs)) as section:
        for run, first, last in _runs_with_blocks(runs, shape):
            section.write(_dense_columns(run, rows, last - first, shape.block_docs))
    stride = -(-rows.number // ROW_LANES) * ROW_LANES
    with writer.stream("dense_rows", "u1", (stride,)) as section:
        for run, first, last in _runs_with_blocks(runs, shape) if rows.number else ():
            columns = _dense_columns(run, rows, last - first, shape.block_docs)
            by_note = columns.transpose(0, 2, 1).reshape(-1, rows.number)
            filled = np.zeros((len(by_note), stride), dtype=np.uint8)
            filled[:, : rows.number] = by_note
            section.write(filled[: shape.notes - run.first_note])


def _dense_columns(run: Run, rows: TermRows, blocks: int, block_docs: int) -> NDArray[np.uint8]:
    """The dense columns of the blocks of a run."""
    columns = np.zeros((blocks, rows.number, block_docs), dtype=np.uint8)
    own = rows.of_term[run.terms]
    for i in np.flatnonzero(own >= 0).tolist():
        postings = slice(int(run.starts[i]), int(run.starts[i + 1]))
        block, offset = np.divmod(run.notes[postings], block_docs)
        columns[block, own[i], offset] = np.minimum(run.tfs[postings], BYTE_TF_MAX)
    return columns
