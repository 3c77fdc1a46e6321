"""Writing the dictionary and the postings of a segment, see `storage/layout.py`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerWriter
from indexer.storage.layout import BLOCKED, BYTE_TF_MAX, DENSE, ENTRY_TF_MAX, RARE, Layout

from .block_writer import SegmentShape, assign_rows, write_blocked, write_dense
from .postings import Run, RunCollector, document_frequencies, merge_runs

MERGE_POSTINGS = 1 << 21


def write_terms(
    writer: ContainerWriter,
    terms: Sequence[str],
    collected: RunCollector,
    notes: int,
    layout: Layout,
) -> None:
    """Writes all sections about terms. `terms` are in the order of their provisional ids."""
    runs = collected.runs
    raw = [term.encode("utf-8") for term in terms]
    order = np.array(sorted(range(len(raw)), key=raw.__getitem__), dtype=np.int64)
    df = document_frequencies(runs, len(raw))
    kinds = _choose_kinds(df[order], notes, layout)
    _write_dictionary(writer, [raw[i] for i in order], df[order], kinds)
    chosen = {kind: order[np.flatnonzero(kinds == kind)] for kind in (RARE, BLOCKED, DENSE)}
    _write_rare(writer, runs, chosen[RARE], df)
    shape = SegmentShape(notes, layout.blocks(notes), layout.block_docs, collected.compiled)
    write_blocked(writer, runs, assign_rows(chosen[BLOCKED], len(df)), shape)
    write_dense(writer, runs, assign_rows(chosen[DENSE], len(df)), shape)
    _write_large(writer, runs, order, kinds)


def _write_large(
    writer: ContainerWriter, runs: Sequence[Run], order: NDArray[np.int64], kinds: NDArray[np.uint8]
) -> None:
    """Writes the side table: frequencies too large for their field, sorted by term and note."""
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    limits = np.where(kinds == BLOCKED, ENTRY_TF_MAX, BYTE_TF_MAX)
    keys, values = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
    for run in runs:
        at = np.flatnonzero(run.tfs >= ENTRY_TF_MAX)
        terms = number[run.terms[np.searchsorted(run.starts, at, "right") - 1]]
        full = run.tfs[at] >= limits[terms]
        notes = run.notes[at[full]].astype(np.uint64) + np.uint64(run.first_note)
        keys.append((terms[full].astype(np.uint64) << np.uint64(32)) | notes)
        values.append(run.tfs[at[full]])
        run.release_pages()
    all_keys, all_values = np.concatenate(keys), np.concatenate(values)
    by_key = np.argsort(all_keys)
    writer.add("large_keys", all_keys[by_key])
    writer.add("large_values", all_values[by_key])


def _choose_kinds(df: NDArray[np.int64], notes: int, layout: Layout) -> NDArray[np.uint8]:
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
    """Writes the terms, in byte order.

    `term_place` is the number of a term among those of its kind; for a rare term it is the
    position of its first posting.
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
    writer: ContainerWriter, runs: Sequence[Run], chosen: NDArray[np.int64], df: NDArray[np.int64]
) -> None:
    tfs: list[NDArray[np.uint8]] = []
    with writer.stream("rare_notes", "u4") as section:
        for _, postings in merge_runs(runs, chosen, df, MERGE_POSTINGS):
            section.write(postings.notes)
            tfs.append(np.minimum(postings.tfs, BYTE_TF_MAX).astype(np.uint8))
    writer.add("rare_tfs", np.concatenate([np.zeros(0, np.uint8), *tfs]))
