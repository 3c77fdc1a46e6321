"""The assertions of a text: which words are negated, of the family, historical, hypothetical."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .family_cues import FAMILY
from .history_cues import HISTORY, HYPOTHESIS
from .negation_cues import NEGATION
from .scopes import Cues, mark_scopes
from .sections import find_sections
from .words import Word, split_words

Label = Literal["negated", "family", "historical", "hypothetical"]
"""How a mention differs from one that is affirmed: of the patient, and of now."""

LABELS: tuple[Label, ...] = ("negated", "family", "historical", "hypothetical")
_CUES: tuple[tuple[Label, Cues], ...] = (
    ("negated", NEGATION),
    ("family", FAMILY),
    ("historical", HISTORY),
    ("hypothetical", HYPOTHESIS),
)


@dataclass(frozen=True)
class Assertions:
    """The labels of the words of a text; no label means affirmed.

    `starts` are the places of the words in the text, ascending.
    """

    starts: tuple[int, ...]
    labels: tuple[tuple[Label, ...], ...]

    def at(self, place: int) -> tuple[Label, ...]:
        """The labels of the word at a place of the text."""
        position = bisect_right(self.starts, place) - 1
        return self.labels[position] if position >= 0 else ()

    def is_affirmed(self, places: Iterable[int]) -> bool:
        """Whether a word at some of the places is affirmed."""
        return any(not self.at(place) for place in places)


def find_assertions(text: str) -> Assertions:
    """The labels of all words of an English note, in one pass."""
    words = split_words(text)
    rows = mark_scopes(words, [cues for _, cues in _CUES])
    marks = {label: row for (label, _), row in zip(_CUES, rows, strict=True)}
    for start, end, kind in find_sections(text):
        _mark_section(words, marks[kind], start, end)
    labels = tuple(tuple(label for label in LABELS if marks[label][i]) for i in range(len(words)))
    return Assertions(tuple(word.start for word in words), labels)


def find_negated(words: Sequence[Word]) -> list[bool]:
    """For each word of a text, whether it is negated."""
    return mark_scopes(words, [NEGATION])[0]


def _mark_section(words: Sequence[Word], marks: list[bool], start: int, end: int) -> None:
    first = bisect_right(words, start - 1, key=lambda word: word.start)
    for i in range(first, len(words)):
        if words[i].start >= end:
            break
        marks[i] = True
