"""The strategy `reduce`: a long note cut down to its most informative terms, weighted.

Terms are ranked by w * idf, where w is the frequency in the query, or that frequency saturated:

    w(f) = f * (s + 1) / (f + s)

as BM25 does with query terms (k3 in Robertson & Walker's Okapi; Anserini calls it query-side
BM25). idf is that of BM25, ln(1 + (N - df + 0.5) / (df + 0.5)). An `idf_power` above 1 favours
rare terms more than BM25 alone: weights are multiplied by idf ** (idf_power - 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from expander.query_terms import term_counts
from patientdx.errors import InputError
from patientdx.protocols import CorpusView
from patientdx.records import Query

from .feedback import heaviest_terms


@dataclass(frozen=True)
class ReduceSettings:
    """How much of a query is kept: at most `terms` distinct terms, and at most `share` of them.

    None means no limit. At least `at_least` terms are always kept. `saturation` is s above, None
    for plain frequencies.
    """

    terms: int | None = None
    share: float | None = 0.5
    at_least: int = 10
    saturation: float | None = None
    idf_power: float = 1.0

    def __post_init__(self) -> None:
        if self.terms is not None and self.terms < 1:
            raise InputError(f"the number of terms to keep must be 1 or more, not {self.terms}")
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(f"the share of terms to keep must lie in (0, 1], not {self.share}")
        if self.at_least < 1:
            raise InputError(f"at_least must be 1 or more, not {self.at_least}")
        if self.saturation is not None and not (
            math.isfinite(self.saturation) and self.saturation >= 0
        ):
            raise InputError(f"the saturation must be 0 or more, not {self.saturation}")
        if not (math.isfinite(self.idf_power) and 0 <= self.idf_power <= 10):
            raise InputError(f"idf_power must lie between 0 and 10, not {self.idf_power}")


class Reduce:
    """Replaces the text of a query by weighted index terms; no other strategy drops the text."""

    name = "reduce"
    needs = ("corpus",)
    Settings = ReduceSettings

    def __init__(self, settings: ReduceSettings | None = None, *, corpus: CorpusView) -> None:
        self.settings = settings or ReduceSettings()
        self._corpus = corpus

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each as `terms` alone; unchanged if no term would be dropped."""
        return [self._reduce(query) for query in queries]

    def _reduce(self, query: Query) -> Query:
        counts = {
            term: count
            for term, count in term_counts(query, self._corpus).items()
            if count > 0 and self._corpus.document_frequency(term)
        }
        idf = {term: self._idf(term) for term in counts}
        weights = {term: self._saturate(count) for term, count in counts.items()}
        gains = {term: weight * idf[term] for term, weight in weights.items()}
        power = self.settings.idf_power - 1
        kept_terms = heaviest_terms(gains, self._limit(len(counts)))
        terms = {term: weights[term] * idf[term] ** power for term in kept_terms}
        if not terms or terms == counts:
            return query
        return replace(query, text="", weights={}, terms=terms)

    def _limit(self, distinct_terms: int) -> int:
        """The number of terms to keep."""
        share = 1.0 if self.settings.share is None else self.settings.share
        limit = max(self.settings.at_least, math.ceil(share * distinct_terms))
        return limit if self.settings.terms is None else min(limit, self.settings.terms)

    def _saturate(self, count: float) -> float:
        s = self.settings.saturation
        return count if s is None else count * (s + 1) / (count + s)

    def _idf(self, term: str) -> float:
        df = self._corpus.document_frequency(term)
        return math.log(1.0 + (self._corpus.size - df + 0.5) / (df + 0.5))
