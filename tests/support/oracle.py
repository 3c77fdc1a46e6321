"""BM25 by brute force, in plain Python, written without a look at the code of `indexer`.

    score(q, d) = sum over terms t of  (w(t, q) * idf(t)) * (tf / (tf + norm(d)))
    idf(t)      = ln(1 + (N - df + 0.5) / (df + 0.5))
    norm(d)     = k1 * ((1 - b) + b * (length(d) / average length))

Sums in float64 over the terms in ascending order of their UTF-8 bytes, rounded once to
float32; hits in descending order of (score, id); a score of zero is no hit.
"""

import ctypes
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from field_conditions import PREDICATES
from unicode_words import normalized_words

from patientdx.records import Filter, Patient, Query

if TYPE_CHECKING:
    from patientdx.conditions import Condition

Tokens = Callable[[str], tuple[str, ...]]


@cache
def stop_words() -> frozenset[str]:
    """The shipped English list."""
    text = files("indexer").joinpath("stopwords/english.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


@cache
def tokens_by(
    stopwords: str, stemmer: str, normalization: str = "nfkc", *, query: bool = False
) -> Tokens:
    """The definition of analysis: `normalized_words` of the text, stop words out, stems.

    Without normalization words are `\\w+` of the lower-cased text.
    """
    import Stemmer

    left_out = stop_words() if stopwords == "english" else frozenset()
    stem = str if stemmer == "none" else Stemmer.Stemmer(stemmer).stemWord

    @lru_cache(maxsize=4096)
    def tokens(text: str) -> tuple[str, ...]:
        plain = normalization == "none" or text.isascii()
        words = re.findall(r"\w+", text.lower()) if plain else normalized_words(text, query=query)
        return tuple(stem(word) for word in words if word not in left_out)

    return tokens


def to_float32(value: float) -> float:
    """The nearest float32."""
    return ctypes.c_float(value).value


@dataclass(frozen=True)
class Oracle:
    """Brute force over live patients, given as id -> patient."""

    patients: Mapping[str, Patient]
    tokens: Tokens
    k1: float
    b: float
    query_tokens: Tokens | None = None
    """Those of queries, where they differ from those of notes."""

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """Term frequencies of each patient."""
        return {i: Counter(self.tokens(_full_text(p))) for i, p in self.patients.items()}

    def query_counts(self, query: Query) -> dict[str, float]:
        """What each term of a query counts."""
        tokens = self.query_tokens or self.tokens
        counts: dict[str, float] = {}
        for term in tokens(query.text):
            counts[term] = counts.get(term, 0.0) + 1.0
        for word, weight in query.weights.items():
            for term in tokens(word):
                counts[term] = counts.get(term, 0.0) + weight
        for term, weight in query.terms.items():
            counts[term] = counts.get(term, 0.0) + weight
        return counts

    def shares(self, query: Query) -> dict[str, dict[str, float]]:
        """id -> term -> what it adds to the score; terms in canonical order."""
        counts = self.counts
        lengths = {i: held.total() for i, held in counts.items()}
        average = sum(lengths.values()) / len(lengths) if lengths else 0.0
        weights = self.query_counts(query)
        shares: dict[str, dict[str, float]] = {i: {} for i in counts}
        for term in sorted(weights, key=str.encode):
            holders = [i for i in counts if counts[i][term]]
            if not holders or not weights[term]:
                continue
            df = len(holders)
            weight = weights[term] * math.log(1.0 + (len(counts) - df + 0.5) / (df + 0.5))
            for i in holders:
                norm = self.k1 * ((1.0 - self.b) + self.b * (lengths[i] / average))
                tf = counts[i][term]
                shares[i][term] = weight * (tf / (tf + norm))
        return shares

    def ranking(self, query: Query, where: Filter | None = None) -> list[tuple[str, float]]:
        """All hits, best first."""
        hits = []
        for i, shares in self.shares(query).items():
            total = 0.0
            for share in shares.values():
                total += share
            score = to_float32(total)
            if score > 0 and passes(self.patients[i], where or Filter()):
                hits.append((i, score))
        return sorted(hits, key=lambda hit: (hit[1], hit[0].encode()), reverse=True)


def _full_text(patient: Patient) -> str:
    return f"{patient.title}\n{patient.text}" if patient.title else patient.text


def passes(patient: Patient, where: Filter) -> bool:
    """A filter, read from its description."""
    if patient.patient_id in where.exclude_ids:
        return False
    if where.sex is not None and patient.sex != where.sex:
        return False
    if where.age is not None and not _in_range(patient.age_years, *where.age):
        return False
    if any(not _equals(patient, field, value) for field, value in where.where):
        return False
    for condition in where.conditions:
        field, predicate = PREDICATES[cast("Condition", condition)]
        if field not in patient.metadata or not predicate(str(patient.metadata[field])):
            return False
    return not any(_equals(patient, field, value) for field, value in where.exclude_where)


def _in_range(age: float | None, low: float | None, high: float | None) -> bool:
    if age is None:
        return False
    years = math.floor(age)
    return (low is None or years >= low) and (high is None or years <= high)


def _equals(patient: Patient, field: str, value: str) -> bool:
    held: Any = patient.metadata.get(field)
    return held is not None and str(held) == value
