"""Deleting notes from segments: records their numbers and the changed document frequencies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.analysis import Analyzer
from indexer.storage.container import ContainerWriter
from indexer.storage.manifest import Manifest, SegmentEntry, StoredFile

from .segment import Segment


def delete_from_segments(
    folder: Path,
    manifest: Manifest,
    entries: Sequence[SegmentEntry],
    patient_ids: Sequence[str],
    note_ids: Sequence[str] = (),
) -> list[SegmentEntry]:
    """Deletes all notes of patients, and single notes; returns the new segment entries.

    A segment without live notes left is dropped.
    """
    analyzer = Analyzer(manifest.analysis)
    changed = []
    for s, entry in enumerate(entries):
        segment = Segment(folder, entry, manifest.layout)
        notes = {n for n in map(segment.find, note_ids) if n is not None}
        notes.update(n for patient_id in patient_ids for n in segment.find_notes(patient_id))
        if not notes:
            changed.append(entry)
        elif len(notes) < entry.live_notes:
            name = f"deletions-{manifest.generation + 1:06d}-{s}.pdx"
            changed.append(_write_deletions(folder / name, segment, notes, analyzer))
    return changed


def _write_deletions(
    path: Path, segment: Segment, notes: set[int], analyzer: Analyzer
) -> SegmentEntry:
    """Writes the deleted notes of a segment, and how much each document frequency shrinks."""
    lost = dict(segment.lost_df)
    for note in notes:
        for term in set(analyzer.terms(segment.store[note].full_text)):
            number = segment.term_number(term)
            if number is not None:
                lost[number] = lost.get(number, 0) + 1
    deleted = np.union1d(segment.deleted, np.array(sorted(notes), dtype=np.int64))
    terms = np.array(sorted(lost), dtype=np.uint32)
    counts = np.array([lost[t] for t in terms.tolist()], dtype=np.uint32)
    stored = _store_arrays(
        path, {"notes": deleted.astype(np.uint32), "terms": terms, "counts": counts}
    )
    tokens = int(segment.lengths[sorted(notes)].sum(dtype=np.int64))
    entry = segment.entry
    return replace(
        entry,
        live_notes=entry.live_notes - len(notes),
        live_tokens=entry.live_tokens - tokens,
        deletions=stored,
    )


def _store_arrays(path: Path, arrays: Mapping[str, NDArray[np.uint32]]) -> StoredFile:
    writer = ContainerWriter(path)
    try:
        for name, array in arrays.items():
            writer.add(name, array)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return StoredFile(path.name, {section.name: section for section in writer.sections})
