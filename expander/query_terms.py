"""Adding weighted words and index terms to queries.

Queries are never changed in place. Where there is nothing to add, the same query is returned.
"""

from collections.abc import Mapping
from dataclasses import replace

from patientdx.protocols import CorpusView
from patientdx.records import Query


def add_words(query: Query, words: Mapping[str, float]) -> Query:
    """The query with weighted words added to its `weights`; words of weight zero are dropped."""
    positive = _positive(words)
    return replace(query, weights=_sum(query.weights, positive)) if positive else query


def add_terms(query: Query, terms: Mapping[str, float]) -> Query:
    """The query with weighted index terms added to its `terms`; zero weights are dropped."""
    positive = _positive(terms)
    return replace(query, terms=_sum(query.terms, positive)) if positive else query


def term_counts(query: Query, corpus: CorpusView) -> dict[str, float]:
    """The weight of each index term in the whole query: its text, `weights` and `terms`.

    Each occurrence in the text weighs 1.
    """
    counts: dict[str, float] = {}
    for term in corpus.terms(query.text):
        counts[term] = counts.get(term, 0.0) + 1.0
    for word, weight in query.weights.items():
        for term in corpus.terms(word):
            counts[term] = counts.get(term, 0.0) + weight
    return _sum(counts, query.terms)


def _positive(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight > 0}


def _sum(left: Mapping[str, float], right: Mapping[str, float]) -> dict[str, float]:
    total = dict(left)
    for name, weight in right.items():
        total[name] = total.get(name, 0.0) + weight
    return total
