"""The words of a text, each with the sentence and the clause that it belongs to."""

import re
from typing import NamedTuple

from patientdx.characters import compose, word_pattern

# Numbered and bulleted lines are sentences, and so are lines that begin with a label ("Fever: no").
_SENTENCE_END = re.compile(r"[.!?](?=\s)|;|\n\s*\n|\n\s*[-*•]")
_LABEL = re.compile(r"^[ \t]*(?:\d+[.)][ \t]*)?\w[^\n:.;]{0,39}:(?=\s|$)", re.MULTILINE)
_CLAUSE_END = re.compile(r"[,:()\[\]]|\s[-–—]\s")
_ABSENT = re.compile(r"\(\s*[-–−]\s*\)\s*$")
_PRESENT = re.compile(r"(?:^|[\s(,])\+\)?\s*$")


class Word(NamedTuple):
    """A word as written. `sentence` and `clause` are numbers that increase through the text.

    `start` is its place in the text. `after_colon` says that a colon is before it, `ends_line` that
    a line, a clause or the text ends behind it; `sign` is "-" after "(-)" and "+" after "+".
    """

    text: str
    sentence: int
    clause: int
    start: int = 0
    after_colon: bool = False
    ends_line: bool = False
    sign: str = ""

    @property
    def composed(self) -> str:
        """The word with each letter in its usual form, see `patientdx.characters`."""
        return compose(self.text)


class _Gap(NamedTuple):
    """What stands between two words: what it ends, and the sign of the word behind it."""

    ends_sentence: bool = False
    ends_clause: bool = False
    ends_line: bool = False
    has_colon: bool = False
    sign: str = ""


_BLANK = _Gap()


def split_words(text: str) -> list[Word]:
    """The words of a text in order, with their marks; a script without blanks is not split."""
    matches = list(word_pattern().finditer(text))
    if not matches:
        return []
    labels = {match.start() for match in _LABEL.finditer(text)}
    starts = [match.start() for match in matches]
    ends = [0, *(match.end() for match in matches)]
    gaps = [
        _read_gap(text[end:start], end, labels) for end, start in zip(ends, starts, strict=False)
    ]
    behind = [*(gap.ends_line for gap in gaps[1:]), True]
    words: list[Word] = []
    sentence = clause = 0
    for match, gap, ends_line in zip(matches, gaps, behind, strict=False):
        if words:
            sentence += gap.ends_sentence
            clause += gap.ends_clause
        place = (match.start(), gap.has_colon, ends_line, gap.sign)
        words.append(Word(match.group(), sentence, clause, *place))
    return words


def _read_gap(gap: str, end: int, labels: set[int]) -> _Gap:
    """The gap that begins at `end`; `labels` are the places of lines that begin with a label."""
    if gap == " ":  # nearly all are
        return _BLANK
    ends_sentence = _SENTENCE_END.search(gap) is not None or any(
        end + i + 1 in labels for i, letter in enumerate(gap) if letter == "\n"
    )
    ends_clause = ends_sentence or _CLAUSE_END.search(gap) is not None
    has_break = "\n" in gap
    sign = "-" if _ABSENT.search(gap) else "+" if _PRESENT.search(gap) else ""
    return _Gap(
        ends_sentence, ends_clause, ends_clause or has_break, ":" in gap and not has_break, sign
    )
