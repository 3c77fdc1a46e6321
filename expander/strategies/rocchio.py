"""The strategy `rocchio`: the query moved towards the centroid of its first hits.

    q' = α * q / ||q||  +  β * c / ||c||
    c  = mean over feedback notes d of  tf(., d) / ||tf(., d)||

Rocchio 1971, "Relevance Feedback in Information Retrieval", without the non-relevant notes
(γ = 0). The details follow Anserini's `RocchioReranker`: Euclidean norms, c cut to its `terms`
largest entries before it is scaled, α = 1 and β = 0.75 by default. Numbers are float64 here,
float32 in Anserini.

BM25 scales with its query weights, so instead of q' the index receives the query itself plus
terms of weight ||q|| * β / α * c / ||c||: the text stays as it is and the ranking is the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expander.query_terms import term_counts
from patientdx.errors import InputError
from patientdx.records import Query

from .feedback import FeedbackExpander, FeedbackNote, check_feedback_settings, heaviest_terms


@dataclass(frozen=True)
class RocchioSettings:
    """Number of feedback notes and terms, α above 0 and β of 0 or more."""

    documents: int = 10
    terms: int = 10
    alpha: float = 1.0
    beta: float = 0.75
    max_share: float = 0.1

    def __post_init__(self) -> None:
        check_feedback_settings(self)
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise InputError(f"alpha must be above 0, not {self.alpha}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(f"beta must be 0 or more, not {self.beta}")


class Rocchio(FeedbackExpander[RocchioSettings]):
    """Adds index terms that are frequent in the first hits."""

    name = "rocchio"
    Settings = RocchioSettings
    tuning_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"terms": (10, 20, 50)}

    def weigh_terms(self, query: Query, notes: Sequence[FeedbackNote]) -> dict[str, float]:
        """The terms of the centroid, scaled to the query."""
        query_norm = _euclidean_norm(term_counts(query, self._corpus).values())
        factor = query_norm * self.settings.beta / self.settings.alpha
        centroid = unit_centroid(notes, self.settings.terms)
        return {term: factor * weight for term, weight in centroid.items()}


def unit_centroid(notes: Sequence[FeedbackNote], terms: int) -> dict[str, float]:
    """The centroid of the notes' unit vectors, cut to its `terms` largest entries, of norm 1."""
    centroid: dict[str, float] = {}
    for note in notes:
        norm = _euclidean_norm(note.counts.values())
        for term, count in note.counts.items():
            centroid[term] = centroid.get(term, 0.0) + count / norm / len(notes)
    centroid = heaviest_terms(centroid, terms)
    norm = _euclidean_norm(centroid.values())
    return {term: weight / norm for term, weight in centroid.items()}


def _euclidean_norm(values: Iterable[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))
