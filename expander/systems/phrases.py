"""The system `phrases`: BM25 with sharper weights, a little feedback, and word pairs.

    S(q, d) = sum over terms t of  w(t) * idf(t) * tf / (tf + norm(d))       as in the index
    w(t)    = (sat(c(t)) + e(t)) * idf(t)^(p - 1)          sat(c) = c * (k3 + 1) / (c + k3)
    e(t)    = g * v(t) / sum of v                 over the T terms of largest v(t) * idf(t)
    v(t)    = sum over the m best hits d of S without e of  S(d) / sum of S * tf(t, d) / |d|
    P(q, d) = sum over pairs x of sat(c(x)) * idf(x)^p * tf / (tf + k1 * (1 - b + b * |d| / avg|d|))
    score   = S + lambda * P for the K best hits; hits after them follow in their order

A pair x is two different words at a distance of 1 or 2, in order, as written in the text (lower
case, with stop words, not stemmed). For pairs the K hits are the collection: its number of notes,
their frequencies and mean length are counted among them, so that the index stores nothing about
pairs. As P is never negative, hits after the K best keep their places.

The ideas behind it: a word that a note repeats five times does not count five times (Robertson &
Walker 1994, k3); both sides of a match between notes reflect rarity, hence idf^p; feedback weighs
as much as one more word, which is much for a short query and next to nothing for a whole note;
pairs of words are weighted by their rarity among the hits (after Metzler & Croft 2005, "A Markov
Random Field Model for Term Dependencies"). p, k3, g, m, T, K and lambda are the same for every
collection; k1 and b are those of the index and should be tuned on each. Nothing is trained.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from expander.query_terms import term_counts
from patientdx.protocols import CorpusView, Searcher
from patientdx.records import Filter, Hit, Query, ranked

from .phrase_settings import PhraseSettings
from .term_weights import idf, saturate
from .word_pairs import pair_counts, pair_scores

_CACHED_NOTES = 20_000
"""Notes whose words stay in memory, about 4 kB each."""


class PhraseSearcher:
    """A `Searcher` over a BM25 searcher and the corpus behind it.

    `feedback` finds the hits that feedback reads, where these are not the first of `searcher`.
    """

    def __init__(
        self,
        settings: PhraseSettings | None = None,
        *,
        searcher: Searcher,
        corpus: CorpusView,
        feedback: Searcher | None = None,
    ) -> None:
        self.settings = settings or PhraseSettings()
        self._searcher = searcher
        self._feedback = feedback or searcher
        self._corpus = corpus
        self._cached_words = lru_cache(_CACHED_NOTES)(self._words_of_note)

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each query."""
        weighted = self.weigh_queries(queries, where)
        depth = max(k, self.settings.rerank)
        hits_by_query = self._searcher.search_many(weighted, depth, where)
        pairs = zip(queries, hits_by_query, strict=True)
        return [self._rerank(query, hits)[:k] for query, hits in pairs]

    def weigh_queries(self, queries: Sequence[Query], where: Filter | None = None) -> list[Query]:
        """The queries that the index receives: own terms and feedback terms, weighted."""
        counts = [self._saturated_counts(query) for query in queries]
        if self.settings.feedback_words > 0:
            first_queries = self._weighted_queries(queries, counts)
            hits_by_query = self._feedback.search_many(
                first_queries, self.settings.feedback_notes, where
            )
            for own_counts, hits in zip(counts, hits_by_query, strict=True):
                for term, count in self._feedback_counts(hits).items():
                    own_counts[term] = own_counts.get(term, 0.0) + count
        return self._weighted_queries(queries, counts)

    def _saturated_counts(self, query: Query) -> dict[str, float]:
        counts = term_counts(query, self._corpus)
        return {term: saturate(count, self.settings.k3) for term, count in counts.items()}

    def _weighted_queries(
        self, queries: Sequence[Query], counts: Sequence[Mapping[str, float]]
    ) -> list[Query]:
        """Queries of terms with weight count * idf^(p - 1); the index multiplies by idf again."""
        power = self.settings.sharpness - 1
        weighted = []
        for query, own_counts in zip(queries, counts, strict=True):
            idfs = {term: self._idf(term) for term in own_counts}
            terms = {t: c * idfs[t] ** power for t, c in own_counts.items() if idfs[t] > 0}
            weighted.append(Query(query.query_id, "", terms=terms))
        return weighted

    def _idf(self, term: str) -> float:
        """The idf of an index term; 0 if no note contains it."""
        df = self._corpus.document_frequency(term)
        return idf(self._corpus.size, df) if df else 0.0

    def _feedback_counts(self, hits: Sequence[Hit]) -> dict[str, float]:
        """Counts e(t) of the terms of the first hits; they sum to `feedback_words`."""
        total = math.fsum(score for _, score in hits)
        mass: dict[str, float] = {}
        for doc_id, score in hits:
            vector = self._corpus.term_vector(doc_id)
            length = sum(vector.values())
            for term, tf in vector.items():
                mass[term] = mass.get(term, 0.0) + score / total * tf / length
        gain = {term: value * self._idf(term) for term, value in mass.items()}
        terms = sorted(mass, key=lambda term: (-gain[term], term))[: self.settings.feedback_terms]
        scale = math.fsum(mass[term] for term in terms)
        return {term: mass[term] * self.settings.feedback_words / scale for term in terms}

    def _rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """Adds the scores of word pairs to the first `rerank` hits and sorts them."""
        head, tail = hits[: self.settings.rerank], hits[self.settings.rerank :]
        query_pairs = pair_counts(self._corpus.words(query.text), self.settings.distances)
        if not query_pairs or self.settings.pair_weight == 0:
            return list(hits)
        notes = [self._cached_words(doc_id) for doc_id, _ in head]
        gains = pair_scores(query_pairs, notes, self.settings)
        rescored = [
            (hit.doc_id, hit.score + self.settings.pair_weight * gain)
            for hit, gain in zip(head, gains, strict=True)
        ]
        return [*ranked(rescored), *tail]

    def _words_of_note(self, doc_id: str) -> tuple[str, ...]:
        return tuple(self._corpus.words(self._corpus.text(doc_id)))
