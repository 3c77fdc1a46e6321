"""The exact ranks of single notes in the whole ranking of a query."""

from collections.abc import Sequence

import numpy as np

from indexer.patients import Place
from indexer.segments.segment import Segment
from patientdx.records import Filter

from .ranking import ScoredNotes, sort_keys
from .scorer import Scorer
from .statistics import WeightedTerms


def rank_notes(
    scorer: Scorer,
    segments: Sequence[Segment],
    query: WeightedTerms,
    places: Sequence[Place | None],
    excluded: frozenset[Place],
    where: Filter,
) -> list[int | None]:
    """One-based ranks of the notes at `places`; None for no place and for a score of zero.

    The notes `excluded` are passed over.
    """
    scores = [scorer.score_of(query, *place) if place else 0.0 for place in places]
    positive = [score for score in scores if score > 0]
    if not positive:
        return [None] * len(places)
    competitors = scorer.scores_at_least([query], [min(positive)], where)[0]
    return [
        _rank_among(segments, competitors, place, score, excluded) if place and score > 0 else None
        for place, score in zip(places, scores, strict=True)
    ]


def _rank_among(
    segments: Sequence[Segment],
    competitors: Sequence[ScoredNotes],
    place: Place,
    score: float,
    excluded: frozenset[Place],
) -> int:
    """One-based rank of the note at `place` among the competitors, which lists each segment."""
    own = segments[place[0]].ids[place[1]]
    before = 0
    for s, scored in enumerate(competitors):
        segment = segments[s]
        ties = segment.ids.count_below(own) if s != place[0] else None
        rank = segment.ids.rank[place[1]] if ties is None else ties
        bits = np.float32(score).view(np.uint32)
        key = (np.uint64(bits) << np.uint64(32)) | np.uint64(rank)
        keys = sort_keys(segment, scored)
        above = keys > key if ties is None else keys >= key
        dropped = [note for segment_number, note in excluded if segment_number == s]
        if dropped:
            above &= ~np.isin(scored.notes, dropped)
        before += int(np.count_nonzero(above))
    return before + 1
