"""The passages of a note that show best why it matches a query."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from patientdx.records import TermShare

Span: TypeAlias = tuple[int, int, str]
"""(start, end, term) of a word in a text. Pairs of characters overlap, both bounds ascend."""

MIN_MARKED_SHARE = 0.25
"""Terms with a share below this fraction of the largest share are not marked in passages."""
_FRACTION_BITS = 60


class Passage(NamedTuple):
    """A part of a note: its text, and (start, end) of each matching word within that text.

    `start` is where the passage begins in the note; `follows_text` and `precedes_text` say that
    words of the note before and after it were left out.
    """

    text: str
    matches: tuple[tuple[int, int], ...]
    start: int = 0
    follows_text: bool = False
    precedes_text: bool = False


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
    small share (mostly function words) are not marked. The time is linear in the spans.
    """
    # As integers: sums of a moving window stay exact.
    value = {share.term: int(share.share * (1 << _FRACTION_BITS)) for share in marked_terms(shares)}
    matches = [span for span in spans if span[2] in value]
    chosen: list[Passage] = []
    used: set[str] = set()
    while matches and len(chosen) < count:
        window = _best_window(matches, value, used, width)
        inside = matches[window]
        new = {term for _, _, term in inside} - used
        if not new:
            break
        used |= new
        chosen.append(_widen_to_words(text, inside, width))
        del matches[window]
    return chosen


def marked_terms(shares: Sequence[TermShare]) -> list[TermShare]:
    """The terms that passages mark: without those of a small share."""
    smallest = MIN_MARKED_SHARE * max((share.share for share in shares), default=0.0)
    return [share for share in shares if share.share >= smallest]


def _best_window(
    spans: Sequence[Span], value: Mapping[str, int], used: Collection[str], width: int
) -> slice:
    """The spans of the window whose terms outside `used` have the largest total share."""
    inside: Counter[str] = Counter()
    best, window = -1, slice(0, 1)
    gain = stop = 0
    for first, (start, _, leaving) in enumerate(spans):
        while stop < len(spans) and spans[stop][1] - start <= width:
            term = spans[stop][2]
            gain += value[term] if not inside[term] and term not in used else 0
            inside[term] += 1
            stop += 1
        if gain > best:
            best, window = gain, slice(first, max(stop, first + 1))
        if stop == first:  # a single word longer than the window
            stop += 1
            continue
        inside[leaving] -= 1
        gain -= value[leaving] if not inside[leaving] and leaving not in used else 0
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
    matches = tuple(_without_overlaps(inside, start))
    before, after = bool(text[:start].strip()), bool(text[end:].strip())
    return Passage(text[start:end], matches, start, before, after)


def _without_overlaps(spans: Sequence[Span], origin: int) -> list[tuple[int, int]]:
    """(start, end) of the spans, counted from `origin`; those that overlap are joined."""
    places: list[tuple[int, int]] = []
    for start, end, _ in spans:
        if places and start - origin < places[-1][1]:
            places[-1] = (places[-1][0], max(end - origin, places[-1][1]))
        else:
            places.append((start - origin, end - origin))
    return places
