"""The system `phrases`: BM25 with sharper weights, a word of feedback, and word pairs on top.

    S(q, d) = sum over terms t of  w(t) * idf(t) * tf / (tf + norm(d))       as the index has it
    w(t)    = (sat(c(t)) + e(t)) * idf(t)^(p - 1)          sat(c) = c * (k3 + 1) / (c + k3)
    e(t)    = g * v(t) / sum of v                 over the T terms of the greatest v(t) * idf(t)
    v(t)    = sum over the m best hits d of S without e of  S(d) / sum of S * tf(t, d) / |d|
    P(q, d) = sum over pairs x of sat(c(x)) * idf(x)^p * tf / (tf + k1 * (1 - b + b * |d| / avg|d|))
    score   = S + lambda * P for the K best hits; hits after them follow in their order

A pair x is two different words at a distance of 1 or 2, in order, as they stand in the text (lower
case, no stop words left out, not stemmed). For pairs the K hits are the collection: its number of
notes, their frequencies and mean length are counted among them, so that nothing about pairs is
stored. As P is never negative, hits after the K best keep their places.

Four ideas: a word that a note says five times does not count five times (Robertson & Walker 1994,
k3); both sides of a match of notes carry rarity, hence idf^p; feedback weighs as much as one more
word, much for a short query and next to nothing for a whole note; pairs of words are weighed by
their rarity among the hits (after Metzler & Croft 2005, "A Markov Random Field Model for Term
Dependencies"). p, k3, g, m, T, K and lambda are the same for every collection; k1 and b are those
of the index, and want to be tuned on each. Nothing is trained.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from expander.query_terms import term_counts
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, Searcher
from patientdx.records import Filter, Hit, Query, ranked

WORD = re.compile(r"\w+")
_REMEMBERED = 20_000
"""Notes whose words are kept, some 4 kB each."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class PhraseSettings:
    """The constants of the formulas above; `k1` and `b` must be those of the index."""

    k1: float = 0.9
    b: float = 0.4
    sharpness: float = 1.5
    k3: float = 2.0
    feedback_words: float = 1.0
    feedback_notes: int = 10
    feedback_terms: int = 50
    rerank: int = 200
    distances: tuple[int, ...] = (1, 2)
    pair_weight: float = 0.5

    def __post_init__(self) -> None:
        numbers = (self.k3, self.sharpness, self.feedback_words, self.pair_weight)
        if not all(math.isfinite(one) and one >= 0 for one in numbers):
            raise InputError("the constants of `phrases` must be 0 or more")
        if min(self.feedback_notes, self.feedback_terms, self.rerank, *self.distances) < 1:
            raise InputError("the numbers of notes, terms and words of `phrases` must be 1 or more")


class PhraseSearcher:
    """A `Searcher` over another that scores by BM25's formula, and the notes behind it."""

    def __init__(
        self, settings: PhraseSettings | None = None, *, searcher: Searcher, corpus: CorpusView
    ) -> None:
        self.settings = settings or PhraseSettings()
        self._searcher = searcher
        self._corpus = corpus
        self._words = lru_cache(_REMEMBERED)(lambda doc_id: tuple(words(corpus.text(doc_id))))

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each query."""
        weighed = self.weighed(queries, where)
        found = self._searcher.search_many(weighed, max(k, self.settings.rerank), where)
        pairs = zip(queries, found, strict=True)
        return [self._reranked(query, hits)[:k] for query, hits in pairs]

    def weighed(self, queries: Sequence[Query], where: Filter | None = None) -> list[Query]:
        """What the index is asked: the queries' terms and those of feedback, weighed."""
        counts = [self._counts(query) for query in queries]
        if self.settings.feedback_words > 0:
            asked = [self._query(*one) for one in zip(queries, counts, strict=True)]
            hits = self._searcher.search_many(asked, self.settings.feedback_notes, where)
            for own, best in zip(counts, hits, strict=True):
                for term, count in self._feedback(best).items():
                    own[term] = own.get(term, 0.0) + count
        return [self._query(*one) for one in zip(queries, counts, strict=True)]

    def _counts(self, query: Query) -> dict[str, float]:
        counts = term_counts(query, self._corpus)
        return {term: saturated(count, self.settings.k3) for term, count in counts.items()}

    def _query(self, query: Query, counts: Mapping[str, float]) -> Query:
        """Counts times idf^(p - 1); the index multiplies by idf once more."""
        power = self.settings.sharpness - 1
        known = {term: self._idf(term) for term in counts}
        terms = {t: c * known[t] ** power for t, c in counts.items() if known[t] > 0}
        return Query(query.query_id, "", terms=terms)

    def _idf(self, term: str) -> float:
        """Of an index term; 0 for one that no note holds."""
        df = self._corpus.document_frequency(term)
        return idf(self._corpus.size, df) if df else 0.0

    def _feedback(self, hits: Sequence[Hit]) -> dict[str, float]:
        """Terms of the best hits; their counts sum to `feedback_words`."""
        total = math.fsum(score for _, score in hits)
        mass: dict[str, float] = {}
        for doc_id, score in hits:
            vector = self._corpus.term_vector(doc_id)
            length = sum(vector.values())
            for term, tf in vector.items():
                mass[term] = mass.get(term, 0.0) + score / total * tf / length
        gain = {term: value * self._idf(term) for term, value in mass.items()}
        chosen = sorted(mass, key=lambda term: (-gain[term], term))[: self.settings.feedback_terms]
        scale = math.fsum(mass[term] for term in chosen)
        return {term: mass[term] * self.settings.feedback_words / scale for term in chosen}

    def _reranked(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        head, tail = hits[: self.settings.rerank], hits[self.settings.rerank :]
        asked = pair_counts(words(query.text), self.settings.distances)
        if not asked or self.settings.pair_weight == 0:
            return list(hits)
        added = pair_scores(asked, [self._words(doc_id) for doc_id, _ in head], self.settings)
        moved = [
            (hit.doc_id, hit.score + self.settings.pair_weight * more)
            for hit, more in zip(head, added, strict=True)
        ]
        return [*ranked(moved), *tail]


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return WORD.findall(text.lower())


def idf(notes: int, document_frequency: int) -> float:
    """Lucene's: ln(1 + (N - df + 1/2) / (df + 1/2))."""
    return math.log1p((notes - document_frequency + 0.5) / (document_frequency + 0.5))


def saturated(count: float, k3: float) -> float:
    """What a count in a query is worth: 1 for once, at most k3 + 1."""
    return count * (k3 + 1) / (count + k3) if count else 0.0


def pair_counts(sequence: Sequence[str], distances: Sequence[int]) -> Counter[Pair]:
    """Ordered pairs of different words at the given distances."""
    return Counter(
        (left, right)
        for distance in distances
        for left, right in zip(sequence, sequence[distance:], strict=False)
        if left != right
    )


def pair_scores(
    asked: Mapping[Pair, int], notes: Sequence[Sequence[str]], settings: PhraseSettings
) -> list[float]:
    """P of each note, given as words, with these notes as the collection."""
    if not notes:
        return []
    held = [_held(asked, note, settings.distances) for note in notes]
    frequency = Counter(pair for counts in held for pair in counts)
    weight = {
        pair: saturated(asked[pair], settings.k3) * idf(len(notes), df) ** settings.sharpness
        for pair, df in frequency.items()
    }
    average = sum(map(len, notes)) / len(notes)
    scores = []
    for note, counts in zip(notes, held, strict=True):
        norm = settings.k1 * (1 - settings.b + settings.b * len(note) / average) if note else 1.0
        scores.append(math.fsum(weight[x] * tf / (tf + norm) for x, tf in counts.items()))
    return scores


def _held(
    asked: Mapping[Pair, int], note: Sequence[str], distances: Sequence[int]
) -> Counter[Pair]:
    """Those of the pairs asked for that a note holds, with their counts."""
    first = {left for left, _ in asked}
    at = [i for i, word in enumerate(note) if word in first]
    size = len(note)
    found = ((note[i], note[i + d]) for d in distances for i in at if i + d < size)
    return Counter(pair for pair in found if pair in asked)
