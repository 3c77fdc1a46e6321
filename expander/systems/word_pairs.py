"""Pairs of nearby words in notes: P of the formulas in `phrases`."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from .phrase_settings import PhraseSettings
from .term_weights import idf, saturate

Pair = tuple[str, str]


def pair_counts(words: Sequence[str], distances: Sequence[int]) -> Counter[Pair]:
    """Counts of the ordered pairs of different words at some distances."""
    return Counter(
        (left, right)
        for distance in distances
        for left, right in zip(words, words[distance:], strict=False)
        if left != right
    )


def pair_scores(
    query_pairs: Mapping[Pair, int], notes: Sequence[Sequence[str]], settings: PhraseSettings
) -> list[float]:
    """P of each note (as words) for the pairs of a query, with these notes as the collection."""
    if not notes:
        return []
    counts_by_note = [_matching_pairs(query_pairs, note, settings.distances) for note in notes]
    frequency = Counter(pair for counts in counts_by_note for pair in counts)
    weight = {
        pair: saturate(query_pairs[pair], settings.k3) * idf(len(notes), df) ** settings.sharpness
        for pair, df in frequency.items()
    }
    average = sum(map(len, notes)) / len(notes)
    scores = []
    for note, counts in zip(notes, counts_by_note, strict=True):
        norm = settings.k1 * (1 - settings.b + settings.b * len(note) / average) if note else 1.0
        scores.append(math.fsum(weight[x] * tf / (tf + norm) for x, tf in counts.items()))
    return scores


def _matching_pairs(
    query_pairs: Mapping[Pair, int], note: Sequence[str], distances: Sequence[int]
) -> Counter[Pair]:
    """Counts of the query's pairs in a note."""
    left_words = {left for left, _ in query_pairs}
    positions = [i for i, word in enumerate(note) if word in left_words]
    size = len(note)
    pairs = ((note[i], note[i + d]) for d in distances for i in positions if i + d < size)
    return Counter(pair for pair in pairs if pair in query_pairs)
