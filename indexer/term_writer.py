"""Writing the dictionary and the postings of a segment, in the layout of `layout`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import needed
from .container import ContainerWriter
from .layout import (
    BLOCKED,
    BYTE_TF_MAX,
    DENSE,
    ENTRY_TF_MAX,
    OFFSET_BITS,
    RARE,
    ROW_LANES,
    Layout,
)
from .postings import Postings, Run, RunCollector, document_frequencies, merged

MERGE_POSTINGS = 1 << 21


def write_terms(
    writer: ContainerWriter,
    terms: Sequence[str],
    collected: RunCollector,
    notes: int,
    layout: Layout,
) -> None:
    """All sections about terms. `terms` are in order of provisional ids."""
    runs = collected.runs
    raw = [term.encode("utf-8") for term in terms]
    order = np.array(sorted(range(len(raw)), key=raw.__getitem__), dtype=np.int64)
    df = document_frequencies(runs, len(raw))
    kinds = _kinds(df[order], notes, layout)
    _write_dictionary(writer, [raw[i] for i in order], df[order], kinds)
    large = _LargeFrequencies()
    chosen = {kind: np.flatnonzero(kinds == kind) for kind in (RARE, BLOCKED, DENSE)}
    source = _Source(runs, order, df)
    _write_rare(writer, source, chosen[RARE], large)
    shape = _Shape(notes, layout.blocks(notes), layout.block_docs, collected.compiled)
    _write_blocked(writer, source, chosen[BLOCKED], shape, large)
    _write_dense(writer, source, chosen[DENSE], shape, large)
    large.write(writer)


class _Shape(NamedTuple):
    """The sizes of a segment, and whether the compiled engine is at hand."""

    notes: int
    blocks: int
    block_docs: int
    compiled: bool


class _Source:
    """The postings of chosen terms, merged from the runs."""

    def __init__(
        self, runs: Sequence[Run], order: NDArray[np.int64], df: NDArray[np.int64]
    ) -> None:
        self.runs = runs
        self._order = order
        self._df = df

    def ranges(self, chosen: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Postings]]:
        """(terms by final number, their postings) for ranges of `chosen` terms."""
        order = self._order[chosen]
        for first, postings in merged(self.runs, order, self._df, MERGE_POSTINGS):
            yield chosen[first : first + len(postings.counts)], postings

    def by_block(
        self, chosen: NDArray[np.int64], shape: "_Shape"
    ) -> Iterator[tuple[int, "_Blocks"]]:
        """(first block, postings of `chosen` terms in whole blocks), run by run."""
        rest = _Blocks.none()
        first = 0
        for i, run in enumerate(self.runs):
            found = _Blocks.join(rest, self._of_run(run, chosen))
            last = i + 1 == len(self.runs)
            end = shape.blocks if last else self.runs[i + 1].first_note // shape.block_docs
            whole = found.notes < end * shape.block_docs
            if end > first:
                yield first, found.where(whole).shifted(end - first, first * shape.block_docs)
            rest, first = found.where(~whole), end

    def _of_run(self, run: Run, chosen: NDArray[np.int64]) -> "_Blocks":
        """The postings of chosen terms in one run, by term and note."""
        row_of_term = np.full(len(self._df), -1, dtype=np.int64)
        row_of_term[self._order[chosen]] = np.arange(len(chosen))
        rows = np.repeat(row_of_term[run.terms], np.diff(run.starts))
        held = np.flatnonzero(rows >= 0)
        notes = run.notes[held].astype(np.int64) + run.first_note
        return _Blocks(0, rows[held].astype(np.uint32), notes, run.tfs[held])


class _Blocks(NamedTuple):
    """Postings of some consecutive blocks: row of the term, note, frequency."""

    blocks: int
    rows: NDArray[np.uint32]
    notes: NDArray[np.int64]
    tfs: NDArray[np.uint32]

    @classmethod
    def none(cls) -> "_Blocks":
        """No postings."""
        return cls(0, np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))

    @classmethod
    def join(cls, one: "_Blocks", other: "_Blocks") -> "_Blocks":
        """Both; of each term, those of `one` come first."""
        return cls(
            0,
            np.concatenate([one.rows, other.rows]),
            np.concatenate([one.notes, other.notes]),
            np.concatenate([one.tfs, other.tfs]),
        )

    def where(self, held: NDArray[np.bool_]) -> "_Blocks":
        """Some of the postings."""
        return _Blocks(self.blocks, self.rows[held], self.notes[held], self.tfs[held])

    def shifted(self, blocks: int, first: int) -> "_Blocks":
        """The same, with notes counted from `first` on."""
        return self._replace(blocks=blocks, notes=self.notes - first)


class _LargeFrequencies:
    """The side table: frequencies that their field cannot hold."""

    def __init__(self) -> None:
        self._keys: list[NDArray[np.uint64]] = []
        self._values: list[NDArray[np.uint32]] = []

    def keep(
        self, terms: NDArray[np.int64], notes: NDArray[Any], tfs: NDArray[Any], limit: int
    ) -> None:
        """Remembers the postings with a frequency of `limit` or more."""
        at = np.flatnonzero(tfs >= limit)
        self._keys.append((terms[at].astype(np.uint64) << np.uint64(32)) | notes[at].astype("u8"))
        self._values.append(tfs[at].astype(np.uint32))

    def write(self, writer: ContainerWriter) -> None:
        """The sections, sorted by term and note."""
        keys = np.concatenate([np.zeros(0, np.uint64), *self._keys])
        values = np.concatenate([np.zeros(0, np.uint32), *self._values])
        by_key = np.argsort(keys)
        writer.add("large_keys", keys[by_key])
        writer.add("large_values", values[by_key])


def _kinds(df: NDArray[np.int64], notes: int, layout: Layout) -> NDArray[np.uint8]:
    kinds = np.full(len(df), RARE, dtype=np.uint8)
    kinds[df >= layout.blocked_per_block * layout.blocks(notes)] = BLOCKED
    if notes >= layout.dense_min_notes:
        kinds[df >= layout.dense_share * notes] = DENSE
    return kinds


def _write_dictionary(
    writer: ContainerWriter,
    terms: Sequence[bytes],
    df: NDArray[np.int64],
    kinds: NDArray[np.uint8],
) -> None:
    """Terms in byte order. `term_place` is the number of a term among those of its kind; for
    rare terms it is the position of the first posting.
    """
    offsets = np.zeros(len(terms) + 1, dtype=np.uint64)
    np.cumsum([len(term) for term in terms], out=offsets[1:])
    place = np.zeros(len(terms), dtype=np.int64)
    for kind in (BLOCKED, DENSE):
        place[kinds == kind] = np.arange(np.count_nonzero(kinds == kind))
    rare = df[kinds == RARE]
    place[kinds == RARE] = np.cumsum(rare) - rare
    with writer.stream("terms", "u1") as section:
        section.write(b"".join(terms))
    writer.add("term_offsets", offsets)
    writer.add("term_df", df.astype(np.uint32))
    writer.add("term_kind", kinds)
    writer.add("term_place", place)


def _write_rare(
    writer: ContainerWriter, source: _Source, chosen: NDArray[np.int64], large: _LargeFrequencies
) -> None:
    tfs: list[NDArray[np.uint8]] = []
    with writer.stream("rare_notes", "u4") as section:
        for terms, postings in source.ranges(chosen):
            section.write(postings.notes)
            owners = np.repeat(terms, postings.counts)
            large.keep(owners, postings.notes, postings.tfs, BYTE_TF_MAX)
            tfs.append(np.minimum(postings.tfs, BYTE_TF_MAX).astype(np.uint8))
    writer.add("rare_tfs", np.concatenate([np.zeros(0, np.uint8), *tfs]))


def _write_blocked(
    writer: ContainerWriter,
    source: _Source,
    chosen: NDArray[np.int64],
    shape: "_Shape",
    large: _LargeFrequencies,
) -> None:
    """`blocked_pointers[block]` holds, for each term, where the entries of notes that hold it
    once, twice and more often begin, relative to `blocked_base[block]`.
    """
    pointers = np.zeros((shape.blocks, 3 * len(chosen) + 1), dtype=np.uint32)
    with writer.stream("blocked_entries", "u2") as section:
        for first, found in source.by_block(chosen, shape):
            notes = found.notes + first * shape.block_docs
            large.keep(chosen[found.rows], notes, found.tfs, ENTRY_TF_MAX)
            section.write(_entries(found, shape, pointers[first : first + found.blocks]))
    writer.add("blocked_pointers", pointers)
    totals = pointers[:, -1].astype(np.int64)
    writer.add("blocked_base", np.cumsum(totals) - totals)


def _entries(found: _Blocks, shape: "_Shape", pointers: NDArray[np.uint32]) -> NDArray[Any]:
    """Postings as 16-bit entries in stored order; fills the rows of `pointers`."""
    rows = pointers.shape[1] // 3
    if shape.compiled:
        entries = np.empty(len(found.rows), dtype=np.uint16)
        counts = np.zeros(3 * found.blocks * rows + 1, dtype=np.int64)
        needed().place_blocked(
            found.rows,
            found.notes.astype(np.uint32),
            found.tfs,
            shape.block_docs,
            found.blocks,
            rows,
            counts,
            pointers,
            entries,
        )
        return entries
    group = (found.notes // shape.block_docs * rows + found.rows) * 3
    group += np.minimum(found.tfs, 3) - 1
    sizes = np.bincount(group, minlength=3 * found.blocks * rows).reshape(found.blocks, -1)
    pointers[:, 1:] = np.cumsum(sizes, axis=1)
    field = np.minimum(found.tfs, ENTRY_TF_MAX) - 1
    entry = (field << OFFSET_BITS) | (found.notes % shape.block_docs)
    return entry[np.argsort(group, kind="stable")].astype(np.uint16)


def _write_dense(
    writer: ContainerWriter,
    source: _Source,
    chosen: NDArray[np.int64],
    shape: "_Shape",
    large: _LargeFrequencies,
) -> None:
    """Frequencies twice: in columns, for scans of few terms, and in rows, for whole notes.

    Columns have the shape (blocks, dense terms, block_docs), rows (notes, dense terms rounded up
    to a multiple of ROW_LANES).
    """
    with writer.stream("dense_tfs", "u1", (len(chosen), shape.block_docs)) as section:
        for first, columns in _dense_columns(source, chosen, shape, large):
            del first
            for block in columns:
                section.write(block[None])
    stride = -(-len(chosen) // ROW_LANES) * ROW_LANES
    with writer.stream("dense_rows", "u1", (stride,)) as section:
        for first, columns in _dense_columns(source, chosen, shape, _LargeFrequencies()):
            notes = columns.transpose(0, 2, 1).reshape(-1, len(chosen))
            rows = np.zeros((len(notes), stride), dtype=np.uint8)
            rows[:, : len(chosen)] = notes
            section.write(rows[: shape.notes - first * shape.block_docs])


def _dense_columns(
    source: _Source, chosen: NDArray[np.int64], shape: "_Shape", large: _LargeFrequencies
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(first block, columns of some blocks), run by run."""
    for first, found in source.by_block(chosen, shape) if len(chosen) else ():
        large.keep(
            chosen[found.rows], found.notes + first * shape.block_docs, found.tfs, BYTE_TF_MAX
        )
        columns = np.zeros((found.blocks, len(chosen), shape.block_docs), dtype=np.uint8)
        blocks, offsets = np.divmod(found.notes, shape.block_docs)
        columns[blocks, found.rows, offsets] = np.minimum(found.tfs, BYTE_TF_MAX)
        yield first, columns
