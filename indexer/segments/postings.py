"""Sorting postings by term in bounded memory: runs on disk, merged by ranges of terms.

A run holds the postings of up to 65,536 consecutive notes, sorted by provisional term id and
note. Runs are spilled to a temporary folder and merged when the segment is written.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.compiled import require_native

RUN_NOTES = 1 << 16
RUN_POSTINGS = 1 << 22


class NotePostings(NamedTuple):
    """Postings of consecutive notes: note i has terms[starts[i]:starts[i+1]] with these `tfs`.

    `lengths` counts the tokens of each note.
    """

    terms: NDArray[np.uint32]
    tfs: NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.uint32]


@dataclass(frozen=True)
class Run:
    """Postings of consecutive notes, sorted by term: `terms` are provisional ids.

    Term i has the postings starts[i]:starts[i+1]. `maps` are the memory maps behind `notes` and
    `tfs` once these are spilled.
    """

    first_note: int
    terms: NDArray[np.uint32]
    starts: NDArray[np.int64]
    notes: NDArray[np.uint16]
    tfs: NDArray[np.uint32]
    maps: tuple[mmap.mmap, ...] = ()

    def release_pages(self) -> None:
        """Releases the memory of mapped pages; they are read again when needed."""
        for mapped in self.maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


class Postings(NamedTuple):
    """Postings of a range of terms, sorted by term and note."""

    counts: NDArray[np.int64]
    notes: NDArray[np.uint32]
    tfs: NDArray[np.uint32]


class RunCollector:
    """Collects postings into runs of whole blocks and spills them to disk.

    Every run but the last holds a multiple of `block_docs` notes, so that no block is split
    between runs. `compiled` sorts with the compiled engine.
    """

    def __init__(self, folder: Path, block_docs: int, *, compiled: bool = False) -> None:
        self.compiled = compiled
        self._folder = folder
        self._block_docs = block_docs
        self._pending: list[NotePostings] = []
        self._pending_notes = 0
        self._pending_postings = 0
        self._first_note = 0
        self.runs: list[Run] = []

    def add(self, counts: NotePostings) -> None:
        """Adds the postings of the next notes, at most RUN_NOTES - block_docs of them."""
        notes = len(counts.lengths)
        full = self._pending_postings + len(counts.terms) > RUN_POSTINGS
        if full or self._pending_notes + notes > RUN_NOTES:
            self._flush(self._pending_notes // self._block_docs * self._block_docs)
        self._pending.append(counts)
        self._pending_notes += notes
        self._pending_postings += len(counts.terms)

    def flush(self) -> None:
        """Writes all pending postings as a run."""
        self._flush(self._pending_notes)

    def _flush(self, notes: int) -> None:
        """Writes the postings of the first `notes` pending notes as a run."""
        if not notes:
            return
        whole, rest = _split_pending(self._pending, notes)
        run = (_sort_run_compiled if self.compiled else _sort_run_numpy)(whole, self._first_note)
        self.runs.append(_spill_run(run, self._folder / f"run-{len(self.runs):05d}"))
        self._first_note += notes
        self._pending = rest
        self._pending_notes -= notes
        self._pending_postings = sum(len(counts.terms) for counts in rest)


def _split_pending(
    pending: Sequence[NotePostings], notes: int
) -> tuple[list[NotePostings], list[NotePostings]]:
    """The postings of the first `notes` pending notes, and those of the others."""
    whole: list[NotePostings] = []
    rest: list[NotePostings] = []
    for counts in pending:
        taken = min(notes, len(counts.lengths))
        for part, first, last in ((whole, 0, taken), (rest, taken, len(counts.lengths))):
            if last > first:
                part.append(_slice_postings(counts, first, last))
        notes -= taken
    return whole, rest


def _slice_postings(counts: NotePostings, first: int, last: int) -> NotePostings:
    start, end = int(counts.starts[first]), int(counts.starts[last])
    starts = counts.starts[first : last + 1] - start
    return NotePostings(
        counts.terms[start:end], counts.tfs[start:end], starts, counts.lengths[first:last]
    )


def _sort_run_numpy(pending: Sequence[NotePostings], first_note: int) -> Run:
    terms = np.concatenate([counts.terms for counts in pending])
    tfs = np.concatenate([counts.tfs for counts in pending])
    sizes = np.concatenate([np.diff(counts.starts) for counts in pending])
    notes = np.repeat(np.arange(len(sizes), dtype=np.uint16), sizes)
    # A stable sort by term keeps the notes of each term in order; NumPy's stable sort of
    # 16-bit keys is a radix sort, so two passes sort 32-bit ids in linear time.
    order = np.argsort((terms & 0xFFFF).astype(np.uint16), kind="stable")
    high = (terms >> 16).astype(np.uint16)
    if high.any():
        order = order[np.argsort(high[order], kind="stable")]
    terms = terms[order]
    starts = np.flatnonzero(np.concatenate([[True], terms[1:] != terms[:-1]]))[: len(terms)]
    bounds = np.append(starts, len(terms)).astype(np.int64)
    return Run(first_note, terms[starts], bounds, notes[order], tfs[order])


def _sort_run_compiled(pending: Sequence[NotePostings], first_note: int) -> Run:
    terms = np.concatenate([counts.terms for counts in pending])
    tfs = np.concatenate([counts.tfs for counts in pending])
    sizes = np.concatenate([np.diff(counts.starts) for counts in pending])
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.zeros(int(terms.max(initial=0)) + 2, dtype=np.int64)
    notes, out = np.empty(len(terms), np.uint16), np.empty(len(terms), np.uint32)
    require_native().sort_by_term(terms, tfs, bounds, ends, notes, out)
    starts = np.concatenate([[0], ends[:-1]])
    present = np.flatnonzero(starts[1:] > starts[:-1])
    bounds = np.append(starts[present], len(terms))
    return Run(first_note, present.astype(np.uint32), bounds, notes, out)


def _spill_run(run: Run, stem: Path) -> Run:
    """Moves the postings of a run to disk; returns the run with mapped arrays."""
    if not len(run.notes):
        return run
    notes = _spill_array(run.notes, stem.with_suffix(".notes"))
    tfs = _spill_array(run.tfs, stem.with_suffix(".tfs"))
    return Run(
        run.first_note,
        run.terms,
        run.starts,
        np.frombuffer(notes, np.uint16),
        np.frombuffer(tfs, np.uint32),
        (notes, tfs),
    )


def _spill_array(array: NDArray[Any], path: Path) -> mmap.mmap:
    """Writes an array and maps it.

    It is written by a file object, which raises an error on a full disk; a map would crash.
    """
    with path.open("wb") as file:
        file.write(array.data)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def document_frequencies(runs: Sequence[Run], terms: int) -> NDArray[np.int64]:
    """Number of notes that hold each provisional term."""
    frequencies = np.zeros(terms, dtype=np.int64)
    for run in runs:
        frequencies[run.terms] += np.diff(run.starts)
    return frequencies


def merge_runs(
    runs: Sequence[Run], order: NDArray[np.int64], frequencies: NDArray[np.int64], budget: int
) -> Iterator[tuple[int, Postings]]:
    """Merges the postings of selected terms, in ranges of about `budget` postings.

    `order` lists the provisional ids of these terms in final order. Yields (position in `order` of
    the first term of the range, postings).
    """
    rank = np.full(len(frequencies), -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    located = [_rows_by_rank(run, rank) for run in runs]
    totals = frequencies[order]
    ends = np.cumsum(totals)
    first = 0
    while first < len(order):
        done = ends[first] - totals[first]
        last = max(first + 1, int(np.searchsorted(ends, done + budget, "right")))
        yield first, _gather_postings(runs, located, totals, first, last)
        first = last


def _rows_by_rank(run: Run, rank: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The selected terms of a run: (ranks in ascending order, their positions in the run)."""
    ranks = rank[run.terms]
    order = np.argsort(ranks, kind="stable")
    order = order[np.searchsorted(ranks[order], 0) :]
    return ranks[order], order


def _gather_postings(
    runs: Sequence[Run],
    located: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    totals: NDArray[np.int64],
    first: int,
    last: int,
) -> Postings:
    counts = totals[first:last]
    notes = np.empty(int(counts.sum()), dtype=np.uint32)
    tfs = np.empty(len(notes), dtype=np.uint32)
    cursor = np.cumsum(counts) - counts
    for run, (ranks, rows) in zip(runs, located, strict=True):
        low, high = np.searchsorted(ranks, [first, last])
        chosen, local = rows[low:high], ranks[low:high] - first
        sizes = run.starts[chosen + 1] - run.starts[chosen]
        within = concatenated_ranges(sizes)
        source = np.repeat(run.starts[chosen], sizes) + within
        target = np.repeat(cursor[local], sizes) + within
        notes[target] = run.notes[source].astype(np.uint32) + np.uint32(run.first_note)
        tfs[target] = run.tfs[source]
        cursor[local] += sizes
        run.release_pages()
    return Postings(counts, notes, tfs)


def concatenated_ranges(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenates 0..sizes[0]-1, 0..sizes[1]-1, ..."""
    total = int(sizes.sum())
    return np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)
