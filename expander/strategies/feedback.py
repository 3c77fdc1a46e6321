"""Pseudo-relevance feedback: the first hits of a query as term vectors.

Which terms may feed back follows Anserini (`Rm3Reranker`, `RocchioReranker`): 2 to 20 characters,
letters and digits only, in no more than a tenth of the corpus. Unlike there, accented and other
letters are letters.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from expander.query_terms import with_terms
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, Searcher
from patientdx.records import Filter, Query

_REMEMBERED = 4096  # term vectors; the first hits of many queries are the same notes


class FeedbackNote(NamedTuple):
    """A hit of the first search: its score there and its terms with their frequencies."""

    score: float
    counts: Mapping[str, int]


class Feedback:
    """Searches, and tells what the first hits hold.

    A note that bears the query's own id never feeds back. `where` limits the first search: give
    the filter that leaves out a patient, or their article, when searching for similar ones.
    """

    def __init__(
        self,
        searcher: Searcher,
        corpus: CorpusView,
        *,
        where: Filter | None = None,
        max_share: float = 0.1,
    ) -> None:
        self._searcher = searcher
        self._corpus = corpus
        self._where = where
        self._max_share = max_share
        self._counts = lru_cache(_REMEMBERED)(self._feedback_counts)

    def notes(self, queries: Sequence[Query], count: int) -> Iterator[list[FeedbackNote]]:
        """The first `count` hits of each query, best first, without those that hold no term."""
        for hits in first_hits(self._searcher, queries, count, self._where):
            notes = (FeedbackNote(score, self._counts(doc_id)) for doc_id, score in hits)
            yield [note for note in notes if note.counts]

    def _feedback_counts(self, doc_id: str) -> Mapping[str, int]:
        vector = self._corpus.term_vector(doc_id)
        return {term: count for term, count in vector.items() if self._may_feed(term)}

    def _may_feed(self, term: str) -> bool:
        if not (2 <= len(term) <= 20 and term.isalnum()):
            return False
        return self._corpus.document_frequency(term) <= self._max_share * self._corpus.size


class FeedbackSettings(Protocol):
    """What feedback needs to know: how many notes feed back, and how rare their terms must be."""

    @property
    def documents(self) -> int:
        """Number of feedback notes."""
        ...

    @property
    def max_share(self) -> float:
        """The share of the corpus that may hold a term that feeds back."""
        ...


class FeedbackExpander(ABC):
    """An expander that adds index terms of the first hits; a strategy says which, in `added`."""

    needs = ("searcher", "corpus")

    def __init__(
        self,
        settings: FeedbackSettings,
        *,
        searcher: Searcher,
        corpus: CorpusView,
        where: Filter | None = None,
    ) -> None:
        self._corpus = corpus
        self._documents = settings.documents
        self._feedback = Feedback(searcher, corpus, where=where, max_share=settings.max_share)

    @abstractmethod
    def added(self, query: Query, notes: Sequence[FeedbackNote]) -> dict[str, float]:
        """Index terms that notes add to a query, with their weights."""

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each with index terms of its first hits as `terms`."""
        feedback = self._feedback.notes(queries, self._documents)
        return [
            with_terms(query, self.added(query, notes))
            for query, notes in zip(queries, feedback, strict=True)
        ]


def first_hits(
    searcher: Searcher, queries: Sequence[Query], count: int, where: Filter | None
) -> Iterator[list[tuple[str, float]]]:
    """The first hits of each query that are not the query's own note."""
    if not queries:
        return
    answers = searcher.search_many(queries, count + 1, where)
    for query, hits in zip(queries, answers, strict=True):
        yield [(hit.doc_id, hit.score) for hit in hits if hit.doc_id != query.query_id][:count]


def strongest(weights: Mapping[str, float], count: int) -> dict[str, float]:
    """The `count` terms of greatest weight, equal weights in ascending order of the terms."""
    chosen = sorted(weights, key=lambda term: (-weights[term], term))[:count]
    return {term: weights[term] for term in chosen}


def check_feedback(documents: int, terms: int, max_share: float) -> None:
    """Raises InputError for settings of feedback that make no sense."""
    if documents < 1 or terms < 1:
        raise InputError("feedback needs 1 or more documents and 1 or more terms")
    if not 0 <= max_share <= 1:
        raise InputError(f"max_share must lie between 0 and 1, not {max_share}")
