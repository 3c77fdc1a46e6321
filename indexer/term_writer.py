"""Writing the dictionary and the postings of a segment, in the layout of `layout`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .container import ContainerWriter
from .layout import (
    BLOCKED,
    BYTE_TF_MAX,
    DENSE,
    ENTRY_TF_MAX,
    OFFSET_BITS,
    RARE,
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
    """The sizes of a segment, and whether the compiled kernels are at hand."""

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

    def of_run(
        self, run: Run, chosen: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(position in `chosen`, note within the run, tf) of all postings of a run."""
        one = Run(0, run.terms, run.starts, run.notes, run.tfs)
        counts = document_frequencies([one], len(self._df))
        (postings,) = [p for _, p in merged([one], self._order[chosen], counts, 1 << 62)]
        positions = np.repeat(np.arange(len(chosen)), postings.counts)
        return positions, postings.notes.astype(np.int64), postings.tfs.astype(np.int64)


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
    """`blocked_pointers[row]` holds, for each block, where its entries begin and where those of
    notes with more than one occurrence begin, relative to `blocked_base[row]`.
    """
    pointers = np.zeros((len(chosen), 2 * shape.blocks + 1), dtype=np.uint32)
    row = 0
    with writer.stream("blocked_entries", "u2") as section:
        for terms, postings in source.ranges(chosen):
            owners = np.repeat(terms, postings.counts)
            large.keep(owners, postings.notes, postings.tfs, ENTRY_TF_MAX)
            section.write(_entries(postings, shape, pointers[row : row + len(terms)]))
            row += len(terms)
    writer.add("blocked_pointers", pointers)
    totals = pointers[:, -1].astype(np.int64)
    writer.add("blocked_base", np.cumsum(totals) - totals)


def _entries(postings: Postings, shape: "_Shape", pointers: NDArray[np.uint32]) -> NDArray[Any]:
    """Postings as 16-bit entries in stored order; fills the rows of `pointers`."""
    if shape.compiled:
        from .kernels_build import place_blocked

        return np.asarray(place_blocked(*postings, shape.block_docs, pointers))
    rows = np.repeat(np.arange(len(postings.counts)), postings.counts)
    notes, tfs = postings.notes.astype(np.int64), postings.tfs.astype(np.int64)
    group = (rows * shape.blocks + notes // shape.block_docs) * 2 + (tfs > 1)
    sizes = np.bincount(group, minlength=len(pointers) * shape.blocks * 2)
    pointers[:, 1:] = np.cumsum(sizes.reshape(len(pointers), 2 * shape.blocks), axis=1)
    entry = ((np.minimum(tfs, ENTRY_TF_MAX) - 1) << OFFSET_BITS) | (notes % shape.block_docs)
    by_frequency = 2 * group + (tfs > 2)
    return entry[np.argsort(by_frequency, kind="stable")].astype(np.uint16)


def _write_dense(
    writer: ContainerWriter,
    source: _Source,
    chosen: NDArray[np.int64],
    shape: "_Shape",
    large: _LargeFrequencies,
) -> None:
    """Columns, shape (blocks, dense terms, block_docs), filled run by run."""
    with writer.stream("dense_tfs", "u1", (len(chosen), shape.block_docs)) as section:
        pending = np.zeros((len(chosen), 0), dtype=np.uint8)
        for i, run in enumerate(source.runs if len(chosen) else ()):
            last = i + 1 == len(source.runs)
            following = shape.notes if last else source.runs[i + 1].first_note
            padding = shape.blocks * shape.block_docs - shape.notes if last else 0
            columns = np.zeros((len(chosen), following - run.first_note + padding), np.uint8)
            positions, local, tfs = source.of_run(run, chosen)
            columns[positions, local] = np.minimum(tfs, BYTE_TF_MAX)
            large.keep(chosen[positions], local + run.first_note, tfs, BYTE_TF_MAX)
            pending = np.concatenate([pending, columns], axis=1)
            whole = pending.shape[1] // shape.block_docs * shape.block_docs
            blocks = pending[:, :whole].reshape(len(chosen), -1, shape.block_docs)
            for block in range(blocks.shape[1]):
                section.write(blocks[:, block])
            pending = pending[:, whole:]
