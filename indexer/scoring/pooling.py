"""Ranking patients by their notes: a patient's score is the sum of those of their best notes.

With `best` = 1 a patient scores as their best note. Otherwise the float32 scores of the `best`
best notes are summed in float64 in descending order, and the sum is rounded to float32. Ties
between patients go by descending id. Only notes that pass the filter and score above zero count.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.patients import PatientTable, Place
from indexer.segments.segment import Segment
from patientdx.records import Filter

from .ranking import Ranking, ScoredNotes
from .scorer import Scorer
from .statistics import WeightedTerms

_LEAST_SCORE = float(np.nextafter(np.float32(0), np.float32(1)))
_GROWTH = 4


class PooledNotes(NamedTuple):
    """All patients that a query matches: number, score, and notes by patient, best note first.

    The notes of patient i are `order[starts[i]:starts[i + 1]]`, positions in `notes`.
    """

    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]
    notes: Ranking
    order: NDArray[np.int64]
    starts: NDArray[np.int64]


class PatientScorer:
    """Ranks the patients of an index; `best` is the number of notes that make their scores."""

    def __init__(
        self, scorer: Scorer, segments: Sequence[Segment], patients: PatientTable, best: int
    ) -> None:
        self._scorer = scorer
        self._segments = segments
        self._patients = patients
        self._best = best
        self._notes = sum(segment.notes for segment in segments)

    def rank(self, queries: Sequence[WeightedTerms], k: int, where: Filter) -> list[Ranking]:
        """The k best patients of each query, each by their best note with the patient's score."""
        if self._best == 1:
            return self._rank_by_best_note(queries, k, where)
        pools = (self._pool(query, _LEAST_SCORE, where) for query in queries)
        return [self._best_patients(pooled, k) for pooled in pools]

    def score_of(self, query: WeightedTerms, places: Sequence[Place]) -> float:
        """The score of a patient with these notes."""
        scores = sorted((self._scorer.score_of(query, *place) for place in places), reverse=True)
        total = 0.0
        for score in scores[: self._best]:
            total += score
        return float(np.float32(total))

    def ranks(
        self,
        query: WeightedTerms,
        patients: Sequence[Sequence[Place]],
        excluded: frozenset[Place],
        where: Filter,
    ) -> list[int | None]:
        """One-based ranks of patients with these allowed notes; None where none of them matches.

        `excluded` are the notes of patients that are passed over.
        """
        scores = [self.score_of(query, places) for places in patients]
        floor = min((score for score in scores if score > 0), default=0.0)
        if not floor:
            return [None] * len(patients)
        pooled = self._pool(query, floor if self._best == 1 else _LEAST_SCORE, where)
        numbers = {self._patients.number_of(place) for place in excluded}
        keep = ~np.isin(pooled.numbers, np.array(sorted(numbers), dtype=np.int64))
        others, rivals = pooled.numbers[keep], pooled.scores[keep]
        ranks: list[int | None] = []
        for places, score in zip(patients, scores, strict=True):
            if score > 0:
                tied = (rivals == score) & (others > self._patients.number_of(places[0]))
                ranks.append(1 + int(np.count_nonzero(tied | (rivals > score))))
            else:
                ranks.append(None)
        return ranks

    def _rank_by_best_note(
        self, queries: Sequence[WeightedTerms], k: int, where: Filter
    ) -> list[Ranking]:
        """Ranks ever more notes of a query until no further note can change its k patients."""
        rankings: dict[int, Ranking] = {}
        pending, depth = list(range(len(queries))), 2 * k
        while pending:
            depth = min(depth, self._notes)
            notes = self._scorer.rank([queries[q] for q in pending], depth, where)
            for q, ranking in zip(pending, notes, strict=True):
                first = self._first_notes(ranking)
                whole = len(ranking.notes) < depth or depth == self._notes
                if whole or _reaches_below(ranking, first, k):
                    rankings[q] = self._by_patient(_take(ranking, first), k)
            pending = [q for q in pending if q not in rankings]
            depth *= _GROWTH
        return [rankings[q] for q in range(len(queries))]

    def _first_notes(self, ranking: Ranking) -> NDArray[np.int64]:
        """Positions of the first note of each patient in a ranking, ascending."""
        _, first = np.unique(self._numbers(ranking), return_index=True)
        return np.sort(first)

    def _numbers(self, ranking: Ranking) -> NDArray[np.int64]:
        numbers = np.empty(len(ranking.notes), dtype=np.int64)
        for s in np.unique(ranking.segments).tolist():
            at = ranking.segments == s
            numbers[at] = self._patients.numbers[s][ranking.notes[at]]
        return numbers

    def _by_patient(self, ranking: Ranking, k: int) -> Ranking:
        """The k best of patients that are listed once, by score and then by descending id."""
        order = np.lexsort((self._numbers(ranking), ranking.scores))[::-1]
        return _take(ranking, order[:k])

    def _pool(self, query: WeightedTerms, floor: float, where: Filter) -> PooledNotes:
        """The patients of all notes that score at least the floor, and perhaps of some below."""
        (scored,) = self._scorer.scores_at_least([query], [floor], where)
        notes = _join(scored)
        numbers = self._numbers(notes)
        order = np.lexsort((-notes.scores, numbers))
        ordered = numbers[order]
        is_first = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, bool)
        starts = np.flatnonzero(is_first)
        bounds = np.append(starts, len(ordered))
        scores = self._sums(notes.scores[order], bounds)
        return PooledNotes(ordered[starts], scores, notes, order, bounds)

    def _sums(self, scores: NDArray[np.float32], bounds: NDArray[np.int64]) -> NDArray[np.float32]:
        """The sums of the first scores of each patient, one score after another."""
        starts, sizes = bounds[:-1], np.diff(bounds)
        totals = np.zeros(len(starts), dtype=np.float64)
        for j in range(min(self._best, int(sizes.max(initial=0)))):
            held = sizes > j
            totals[held] += scores[starts[held] + j]
        return totals.astype(np.float32)

    def _best_patients(self, pooled: PooledNotes, k: int) -> Ranking:
        order = np.lexsort((pooled.numbers, pooled.scores))[::-1][:k]
        at = np.array([self._best_note(pooled, int(i)) for i in order], dtype=np.int64)
        return with_scores(_take(pooled.notes, at), pooled.scores[order])

    def _best_note(self, pooled: PooledNotes, patient: int) -> int:
        """Position of a patient's best note; of equal ones that with the last id."""
        notes = pooled.notes
        own = pooled.order[pooled.starts[patient] : pooled.starts[patient + 1]]
        best: list[int] = own[notes.scores[own] == notes.scores[own[0]]].tolist()
        segments, numbers = notes.segments[best].tolist(), notes.notes[best].tolist()
        ids = [self._segments[s].ids[n] for s, n in zip(segments, numbers, strict=True)]
        return best[ids.index(max(ids))]


def with_scores(ranking: Ranking, scores: NDArray[np.float32]) -> Ranking:
    """The same notes with other scores."""
    return Ranking(ranking.segments, ranking.notes, scores)


def _reaches_below(ranking: Ranking, first: NDArray[np.int64], k: int) -> bool:
    """Whether the last note scores below the k-th patient: notes after it change nothing."""
    return len(first) >= k and bool(ranking.scores[-1] < ranking.scores[first[k - 1]])


def _join(scored: Sequence[ScoredNotes]) -> Ranking:
    """The notes of all segments that score above zero, in no order."""
    positive = [(notes[scores > 0], scores[scores > 0]) for notes, scores in scored]
    if not positive:
        empty = np.zeros(0, dtype=np.int64)
        return Ranking(empty, empty, np.zeros(0, dtype=np.float32))
    segments = [np.full(len(notes), s, dtype=np.int64) for s, (notes, _) in enumerate(positive)]
    return Ranking(
        np.concatenate(segments),
        np.concatenate([notes for notes, _ in positive]),
        np.concatenate([scores for _, scores in positive]),
    )


def _take(ranking: Ranking, at: NDArray[np.int64]) -> Ranking:
    return Ranking(ranking.segments[at], ranking.notes[at], ranking.scores[at])
