"""Pseudo-relevance feedback: the first hits of a query as term vectors.

Which terms are eligible follows Anserini (`Rm3Reranker`, `RocchioReranker`): 2 to 20 characters,
letters and digits only, in no more than a tenth of the corpus. Unlike Anserini, letters include
accented and non-Latin ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, Protocol, TypeVar

from expander.query_terms import add_terms
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, Searcher
from patientdx.records import Filter, Query

_CACHED_VECTORS = 4096  # the first hits of many queries are the same notes


class FeedbackNote(NamedTuple):
    """A hit of the first search: its score and the frequencies of its eligible terms."""

    score: float
    counts: Mapping[str, int]


class FeedbackSettings(Protocol):
    """The settings that every feedback strategy has."""

    @property
    def documents(self) -> int:
        """Number of feedback notes."""
        ...

    @property
    def terms(self) -> int:
        """Number of terms to add."""
        ...

    @property
    def max_share(self) -> float:
        """Maximum share of the corpus that may contain an eligible term."""
        ...


SettingsT = TypeVar("SettingsT", bound=FeedbackSettings)


class FeedbackExpander(ABC, Generic[SettingsT]):
    """Base class of strategies that add index terms of the first hits.

    A subclass sets `name` and `Settings` and weighs the terms in `weigh_terms`. A note with the
    query's own id is never used. `where` limits the first search: pass the filter that excludes a
    patient, or their article, when searching for similar patients.
    """

    name: str
    needs = ("searcher", "corpus")
    Settings: type[SettingsT]

    def __init__(
        self,
        settings: SettingsT | None = None,
        *,
        searcher: Searcher,
        corpus: CorpusView,
        where: Filter | None = None,
    ) -> None:
        self.settings: SettingsT = settings or self.Settings()
        self._searcher = searcher
        self._corpus = corpus
        self._where = where
        self._cached_counts = lru_cache(_CACHED_VECTORS)(self._eligible_counts)

    @abstractmethod
    def weigh_terms(self, query: Query, notes: Sequence[FeedbackNote]) -> dict[str, float]:
        """The index terms that feedback notes add to a query, with their weights."""

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each with index terms of its first hits as `terms`."""
        return [
            add_terms(query, self.weigh_terms(query, notes))
            for query, notes in zip(queries, self._feedback_notes(queries), strict=True)
        ]

    def _feedback_notes(self, queries: Sequence[Query]) -> Iterator[list[FeedbackNote]]:
        """The first hits of each query, best first, without those that hold no eligible term."""
        documents = self.settings.documents
        for hits in feedback_hits(self._searcher, queries, documents, self._where):
            notes = (FeedbackNote(score, self._cached_counts(doc_id)) for doc_id, score in hits)
            yield [note for note in notes if note.counts]

    def _eligible_counts(self, doc_id: str) -> Mapping[str, int]:
        vector = self._corpus.term_vector(doc_id)
        return {term: count for term, count in vector.items() if self._is_eligible(term)}

    def _is_eligible(self, term: str) -> bool:
        if not (2 <= len(term) <= 20 and term.isalnum()):
            return False
        limit = self.settings.max_share * self._corpus.size
        return self._corpus.document_frequency(term) <= limit


def feedback_hits(
    searcher: Searcher, queries: Sequence[Query], count: int, where: Filter | None
) -> Iterator[list[tuple[str, float]]]:
    """The `count` best (doc_id, score) of each query, without the query's own note."""
    if not queries:
        return
    hits_by_query = searcher.search_many(queries, count + 1, where)
    for query, hits in zip(queries, hits_by_query, strict=True):
        yield [(hit.doc_id, hit.score) for hit in hits if hit.doc_id != query.query_id][:count]


def heaviest_terms(weights: Mapping[str, float], count: int) -> dict[str, float]:
    """The `count` terms of largest weight; terms of equal weight in ascending order."""
    terms = sorted(weights, key=lambda term: (-weights[term], term))[:count]
    return {term: weights[term] for term in terms}


def check_feedback_settings(settings: FeedbackSettings) -> None:
    """Raises InputError for feedback settings that are out of range."""
    if settings.documents < 1 or settings.terms < 1:
        raise InputError("feedback needs 1 or more documents and 1 or more terms")
    if not 0 <= settings.max_share <= 1:
        raise InputError(f"max_share must lie between 0 and 1, not {settings.max_share}")
