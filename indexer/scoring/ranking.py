"""From scored notes to the one order of hits: score as float32, ties by id descending."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.segments.segment import Segment
from patientdx.records import Hit


class ScoredNotes(NamedTuple):
    """Notes of one segment with float32 scores, in any order."""

    notes: NDArray[np.int64]
    scores: NDArray[np.float32]


class Ranking(NamedTuple):
    """A ranking as arrays: segment and note number of each hit, best first, and its score."""

    segments: NDArray[np.int64]
    notes: NDArray[np.int64]
    scores: NDArray[np.float32]


def sort_keys(segment: Segment, scored: ScoredNotes) -> NDArray[np.uint64]:
    """One integer a note that orders notes as hits are ordered, within a segment.

    The bits of a positive float32 are in the order of its values; below them stands the rank
    of the id.
    """
    bits = scored.scores.view(np.uint32).astype(np.uint64)
    return np.asarray((bits << np.uint64(32)) | segment.ids.rank[scored.notes].astype(np.uint64))


def top_notes(segment: Segment, scored: ScoredNotes, k: int) -> ScoredNotes:
    """The k best notes of a segment, best first."""
    keys = sort_keys(segment, scored)
    if len(keys) > 4 * k:
        kept = np.argpartition(keys, len(keys) - k)[len(keys) - k :]
        scored, keys = ScoredNotes(scored.notes[kept], scored.scores[kept]), keys[kept]
    order = np.argsort(keys)[::-1][:k]
    return ScoredNotes(scored.notes[order], scored.scores[order])


def merge_rankings(segments: Sequence[Segment], found: Sequence[ScoredNotes], k: int) -> Ranking:
    """The k best over all segments, from the k best of each."""
    if len(found) == 1:
        only = found[0]
        return Ranking(np.zeros(len(only.notes), dtype=np.int64), only.notes, only.scores)
    rows = [
        (float(score), segments[s].ids[int(note)], s, int(note))
        for s, scored in enumerate(found)
        for note, score in zip(scored.notes, scored.scores, strict=True)
    ]
    rows.sort(key=lambda row: row[:2], reverse=True)
    rows = rows[:k]
    return Ranking(
        np.array([row[2] for row in rows], dtype=np.int64),
        np.array([row[3] for row in rows], dtype=np.int64),
        np.array([row[0] for row in rows], dtype=np.float32),
    )


def to_hits(segments: Sequence[Segment], ranking: Ranking) -> list[Hit]:
    """A ranking with ids."""
    ids: list[str] = [""] * len(ranking.notes)
    for s in np.unique(ranking.segments).tolist():
        at = np.flatnonzero(ranking.segments == s)
        for i, patient_id in zip(at.tolist(), segments[s].ids.take(ranking.notes[at]), strict=True):
            ids[i] = patient_id
    return [Hit(i, score) for i, score in zip(ids, ranking.scores.tolist(), strict=True)]
