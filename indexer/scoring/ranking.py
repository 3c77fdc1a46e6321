"""Ranking scored notes: by score as float32, ties by descending id."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.segments.segment import Segment
from patientdx.records import Hit, Unit


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
    """An integer for each note, which sorts the notes of a segment as their hits.

    The upper half is the bits of the score, which sort as positive float32 values do; the lower
    half is the rank of the id.
    """
    bits = scored.scores.view(np.uint32).astype(np.uint64)
    return np.asarray((bits << np.uint64(32)) | segment.ids.rank[scored.notes].astype(np.uint64))


def top_notes(segment: Segment, scored: ScoredNotes, k: int) -> ScoredNotes:
    """The k best notes of a segment, best first."""
    keys = sort_keys(segment, scored)
    if len(keys) > 4 * k:
        best = np.argpartition(keys, len(keys) - k)[len(keys) - k :]
        scored, keys = ScoredNotes(scored.notes[best], scored.scores[best]), keys[best]
    order = np.argsort(keys)[::-1][:k]
    return ScoredNotes(scored.notes[order], scored.scores[order])


def merge_rankings(segments: Sequence[Segment], best: Sequence[ScoredNotes], k: int) -> Ranking:
    """The k best notes over all segments, from the k best of each."""
    if len(best) == 1:
        notes, scores = best[0]
        return Ranking(np.zeros(len(notes), dtype=np.int64), notes, scores)
    rows = [
        (float(score), segments[s].ids[int(note)], s, int(note))
        for s, scored in enumerate(best)
        for note, score in zip(scored.notes, scored.scores, strict=True)
    ]
    rows.sort(key=lambda row: row[:2], reverse=True)
    rows = rows[:k]
    return Ranking(
        np.array([row[2] for row in rows], dtype=np.int64),
        np.array([row[3] for row in rows], dtype=np.int64),
        np.array([row[0] for row in rows], dtype=np.float32),
    )


def drop_notes(ranking: Ranking, excluded: frozenset[tuple[int, int]], k: int) -> Ranking:
    """The first k of a ranking without certain notes, named by segment and number."""
    pairs = zip(ranking.segments.tolist(), ranking.notes.tolist(), strict=True)
    keep = [i for i, pair in enumerate(pairs) if pair not in excluded][:k]
    return Ranking(ranking.segments[keep], ranking.notes[keep], ranking.scores[keep])


def to_hits(segments: Sequence[Segment], ranking: Ranking, by: Unit) -> list[Hit]:
    """The hits of a ranking, with the ids of the notes or of their patients."""
    ids: list[str] = [""] * len(ranking.notes)
    for s in np.unique(ranking.segments).tolist():
        at = np.flatnonzero(ranking.segments == s)
        own = segments[s].ids_of(ranking.notes[at], by)
        for i, doc_id in zip(at.tolist(), own, strict=True):
            ids[i] = doc_id
    return [Hit(i, score) for i, score in zip(ids, ranking.scores.tolist(), strict=True)]
