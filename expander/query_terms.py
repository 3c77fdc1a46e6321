"""Queries with something added. The query given is never changed; adding nothing returns it."""

from collections.abc import Mapping
from dataclasses import replace

from patientdx.protocols import CorpusView
from patientdx.records import Query


def with_weights(query: Query, words: Mapping[str, float]) -> Query:
    """The query with weighted words added to its `weights`; those of weight zero are left out."""
    added = _above_zero(words)
    return replace(query, weights=_sum(query.weights, added)) if added else query


def with_terms(query: Query, terms: Mapping[str, float]) -> Query:
    """The query with weighted index terms added to its `terms`."""
    added = _above_zero(terms)
    return replace(query, terms=_sum(query.terms, added)) if added else query


def term_counts(query: Query, corpus: CorpusView) -> dict[str, float]:
    """What each index term of a whole query counts: its text, its `weights` and its `terms`."""
    counts: dict[str, float] = {}
    for term in corpus.terms(query.text):
        counts[term] = counts.get(term, 0.0) + 1.0
    for word, weight in query.weights.items():
        for term in corpus.terms(word):
            counts[term] = counts.get(term, 0.0) + weight
    return _sum(counts, query.terms)


def _above_zero(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight > 0}


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    total = dict(one)
    for name, weight in other.items():
        total[name] = total.get(name, 0.0) + weight
    return total
