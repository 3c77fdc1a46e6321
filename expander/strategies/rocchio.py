"""The strategy `rocchio`: the query moved towards the mean of its first hits.

    q' = α * q / ||q||  +  β * c / ||c||
    c  = mean over feedback notes d of  tf(., d) / ||tf(., d)||

Rocchio 1971, "Relevance Feedback in Information Retrieval", without the notes that are not
relevant (γ = 0). In detail as in Anserini's `RocchioReranker`: Euclidean norms, c cut to its
`terms` greatest entries before it is scaled, α = 1 and β = 0.75 by default. Numbers here are
float64, there float32.

BM25 scales with its query weights, so q' is asked for as the query itself plus terms of weight
||q|| * β / α * c / ||c||: the text stays as it is, the ranking is the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from expander.query_terms import term_counts
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, Searcher
from patientdx.records import Filter, Query

from .feedback import FeedbackExpander, FeedbackNote, check_feedback, strongest


@dataclass(frozen=True)
class RocchioSettings:
    """Number of feedback notes and terms, α above 0 and β of 0 or more."""

    documents: int = 10
    terms: int = 10
    alpha: float = 1.0
    beta: float = 0.75
    max_share: float = 0.1

    def __post_init__(self) -> None:
        check_feedback(self.documents, self.terms, self.max_share)
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise InputError(f"alpha must be above 0, not {self.alpha}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(f"beta must be 0 or more, not {self.beta}")


class Rocchio(FeedbackExpander):
    """Adds index terms that are frequent in the first hits."""

    name = "rocchio"
    Settings = RocchioSettings

    def __init__(
        self,
        settings: RocchioSettings | None = None,
        *,
        searcher: Searcher,
        corpus: CorpusView,
        where: Filter | None = None,
    ) -> None:
        self.settings = settings or RocchioSettings()
        super().__init__(self.settings, searcher=searcher, corpus=corpus, where=where)

    def added(self, query: Query, notes: Sequence[FeedbackNote]) -> dict[str, float]:
        """Terms of the feedback notes."""
        length = _norm(term_counts(query, self._corpus).values())
        factor = length * self.settings.beta / self.settings.alpha
        mean = mean_direction(notes, self.settings.terms)
        return {term: factor * weight for term, weight in mean.items()}


def mean_direction(notes: Sequence[FeedbackNote], terms: int) -> Mapping[str, float]:
    """The mean of the notes' directions, its `terms` greatest entries, of Euclidean length 1."""
    mean: dict[str, float] = {}
    for note in notes:
        length = _norm(note.counts.values())
        for term, count in note.counts.items():
            mean[term] = mean.get(term, 0.0) + count / length / len(notes)
    mean = strongest(mean, terms)
    length = _norm(mean.values())
    return {term: weight / length for term, weight in mean.items()}


def _norm(values: Iterable[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))
