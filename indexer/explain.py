"""Why a patient was found: the share of each term in the score, and where the words stand."""

from typing import NamedTuple

import numpy as np

from .analysis import Analyzer
from .bm25 import BM25Settings, length_norms
from .scoring.statistics import WeightedTerms
from .segments.segment import Segment

MIN_MARKED_SHARE = 0.25
"""Terms below this part of the greatest share are not marked in passages."""


class TermShare(NamedTuple):
    """What one term adds to a score: weight (query weight times idf) times impact."""

    term: str
    share: float
    weight: float
    tf: int


class Explanation(NamedTuple):
    """The shares of a score, greatest first; they sum to it in float64."""

    doc_id: str
    score: float
    shares: tuple[TermShare, ...]


class Passage(NamedTuple):
    """A stretch of a note: its text and the (start, end) of matching words within it."""

    text: str
    matches: tuple[tuple[int, int], ...]


def explain_score(
    segment: Segment,
    s: int,
    note: int,
    query: WeightedTerms,
    average_length: float,
    settings: BM25Settings,
) -> Explanation:
    """The explanation of one note's score. No second index is needed: postings are asked."""
    norm = float(length_norms(segment.lengths[note : note + 1], average_length, settings)[0])
    total = 0.0
    shares = []
    numbers = query.numbers[s].tolist()
    for term, number, weight in zip(query.terms, numbers, query.weights.tolist(), strict=True):
        tf = segment.frequency(number, note) if number >= 0 else 0.0
        if tf > 0:
            share = weight * (tf / (tf + norm))
            total += share
            shares.append(TermShare(term, share, weight, int(tf)))
    shares.sort(key=lambda one: (-one.share, one.term))
    return Explanation(segment.ids[note], float(np.float32(total)), tuple(shares))


def find_passages(
    text: str,
    shares: tuple[TermShare, ...],
    analyzer: Analyzer,
    *,
    width: int = 240,
    count: int = 2,
) -> list[Passage]:
    """The stretches of a note, about `width` characters each, that hold most of its score.

    Each term counts once over all passages, so that they differ in what they show. Words that
    add little (function words, mostly) are not marked.
    """
    least = MIN_MARKED_SHARE * max((share.share for share in shares), default=0.0)
    value = {share.term: share.share for share in shares if share.share >= least}
    spans = [span for span in analyzer.spans(text) if span[2] in value]
    chosen: list[Passage] = []
    used: set[str] = set()
    while spans and len(chosen) < count:
        start, end = _best_window(spans, value, used, width)
        inside = [span for span in spans if start <= span[0] and span[1] <= end]
        new = {span[2] for span in inside} - used
        if not new:
            break
        used |= new
        chosen.append(_widen_to_words(text, inside, width))
        spans = [span for span in spans if span not in inside]
    return chosen


def _best_window(
    spans: list[tuple[int, int, str]], value: dict[str, float], used: set[str], width: int
) -> tuple[int, int]:
    best, window = -1.0, (spans[0][0], spans[0][1])
    for i, (start, _, _) in enumerate(spans):
        terms: set[str] = set()
        end = start
        for _, stop, term in spans[i:]:
            if stop - start > width:
                break
            end = stop
            terms.add(term)
        worth = sum(value[term] for term in terms - used)
        if worth > best:
            best, window = worth, (start, max(end, spans[i][1]))
    return window


def _widen_to_words(text: str, inside: list[tuple[int, int, str]], width: int) -> Passage:
    """The window widened to whole words on both sides."""
    first, last = inside[0][0], inside[-1][1]
    spare = max(0, width - (last - first)) // 2
    start, end = max(0, first - spare), min(len(text), last + spare)
    while 0 < start < first and not text[start - 1].isspace():
        start += 1
    while last < end < len(text) and not text[end].isspace():
        end -= 1
    matches = tuple((a - start, b - start) for a, b, _ in inside)
    return Passage(text[start:end], matches)
