"""Explaining a hit: the share of each term in its score, and the passages that match."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from patientdx.records import Explanation, TermShare

from .bm25 import BM25Settings, length_norms
from .scoring.statistics import WeightedTerms
from .segments.segment import Segment

Span: TypeAlias = tuple[int, int, str]
"""(start, end, term) of a word in a text."""

MIN_MARKED_SHARE = 0.25
"""Terms with a share below this fraction of the largest share are not marked in passages."""


class Passage(NamedTuple):
    """A part of a note: its text, and (start, end) of each matching word within that text."""

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
    """Explains the score of note `note` of segment number `s`, from its postings."""
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
    shares.sort(key=lambda entry: (-entry.share, entry.term))
    return Explanation(segment.ids[note], float(np.float32(total)), tuple(shares))


def find_passages(
    text: str,
    shares: Sequence[TermShare],
    spans: Sequence[Span],
    *,
    width: int = 240,
    count: int = 2,
) -> list[Passage]:
    """The passages of a note, about `width` characters each, that contribute most to its score.

    `spans` are those of the note's text, see `PatientIndex.spans`.
    Each term counts once over all passages, so that each passage shows new terms. Words with a
    small share (mostly function words) are not marked.
    """
    smallest = MIN_MARKED_SHARE * max((share.share for share in shares), default=0.0)
    value = {share.term: share.share for share in shares if share.share >= smallest}
    matches = [span for span in spans if span[2] in value]
    chosen: list[Passage] = []
    used: set[str] = set()
    while matches and len(chosen) < count:
        start, end = _best_window(matches, value, used, width)
        inside = [span for span in matches if start <= span[0] and span[1] <= end]
        new = {span[2] for span in inside} - used
        if not new:
            break
        used |= new
        chosen.append(_widen_to_words(text, inside, width))
        matches = [span for span in matches if span not in inside]
    return chosen


def _best_window(
    spans: Sequence[Span], value: dict[str, float], used: set[str], width: int
) -> tuple[int, int]:
    """(start, end) of the window whose terms outside `used` have the largest total share."""
    best, window = -1.0, (spans[0][0], spans[0][1])
    for i, (start, _, _) in enumerate(spans):
        terms: set[str] = set()
        end = start
        for _, stop, term in spans[i:]:
            if stop - start > width:
                break
            end = stop
            terms.add(term)
        gain = sum(value[term] for term in terms - used)
        if gain > best:
            best, window = gain, (start, max(end, spans[i][1]))
    return window


def _widen_to_words(text: str, inside: Sequence[Span], width: int) -> Passage:
    """The passage around the spans `inside`, extended to whole words on both sides."""
    first, last = inside[0][0], inside[-1][1]
    spare = max(0, width - (last - first)) // 2
    start, end = max(0, first - spare), min(len(text), last + spare)
    while 0 < start < first and not text[start - 1].isspace():
        start += 1
    while last < end < len(text) and not text[end].isspace():
        end -= 1
    matches = tuple((a - start, b - start) for a, b, _ in inside)
    return Passage(text[start:end], matches)
