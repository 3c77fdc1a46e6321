"""The strategy `rm3`: a relevance model of the first hits, mixed with the query.

    P(t|R) ∝ sum over feedback notes d of  score(d) * tf(t, d) / sum of tf(., d)
    P'(t)  = λ * q(t) / |q|  +  (1 - λ) * P(t|R)

Lavrenko & Croft 2001, "Relevance-Based Language Models", for P(t|R) (RM1); Abdul-Jaleel et al.
2004, "UMass at TREC 2004", for the mixture (RM3). The details follow Anserini's `Rm3Reranker`:
each note keeps its `terms` most frequent terms, P(t|R) keeps its `terms` likeliest and is scaled
to sum to 1; score(d) is the note's BM25 score. Numbers are float64 here, float32 in Anserini.

BM25 scales with its query weights, so instead of P' the index receives the query itself plus
terms of weight |q| * (1 - λ) / λ * P(t|R): the text stays as it is and the ranking is the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expander.query_terms import term_counts
from patientdx.errors import InputError
from patientdx.records import Query

from .feedback import FeedbackExpander, FeedbackNote, check_feedback_settings, heaviest_terms


@dataclass(frozen=True)
class Rm3Settings:
    """Number of feedback notes and terms, and λ in (0, 1]; the defaults are Anserini's."""

    documents: int = 10
    terms: int = 10
    original_weight: float = 0.5
    max_share: float = 0.1

    def __post_init__(self) -> None:
        check_feedback_settings(self)
        if not 0 < self.original_weight <= 1:
            raise InputError(
                f"the weight of the original query must lie in (0, 1], not {self.original_weight}"
            )


class Rm3(FeedbackExpander[Rm3Settings]):
    """Adds index terms that are likely in the first hits."""

    name = "rm3"
    Settings = Rm3Settings
    tuning_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"terms": (10, 20, 50)}

    def weigh_terms(self, query: Query, notes: Sequence[FeedbackNote]) -> dict[str, float]:
        """The terms of the relevance model, scaled to the query."""
        query_length = math.fsum(term_counts(query, self._corpus).values())
        factor = query_length * (1 - self.settings.original_weight) / self.settings.original_weight
        model = relevance_model(notes, self.settings.terms)
        return {term: factor * likelihood for term, likelihood in model.items()}


def relevance_model(notes: Sequence[FeedbackNote], terms: int) -> dict[str, float]:
    """P(t|R) over the `terms` likeliest terms, summing to 1; empty without notes."""
    model: dict[str, float] = {}
    for note in notes:
        counts = heaviest_terms(note.counts, terms)
        length = sum(counts.values())
        for term, count in counts.items():
            model[term] = model.get(term, 0.0) + note.score * count / length
    model = heaviest_terms(model, terms)
    total = math.fsum(model.values())
    return {term: weight / total for term, weight in model.items()}
