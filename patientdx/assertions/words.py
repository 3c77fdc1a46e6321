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


def split_words(text: str) -> list[Word]:
    """The words of a text in order, with their marks; a script without blanks is not split."""
    labels = {match.start() for match in _LABEL.finditer(text)}
    words: list[Word] = []
    sentence = clause = end = 0
    for match in word_pattern().finditer(text):
        gap = text[end : match.start()]
        starts_sentence = bool(words) and _starts_sentence(gap, end, labels)
        starts_clause = bool(words) and _CLAUSE_END.search(gap) is not None
        sentence += starts_sentence
        clause += starts_sentence or starts_clause
        if words and (starts_sentence or starts_clause or "\n" in gap):
            words[-1] = words[-1]._replace(ends_line=True)
        sign = "-" if _ABSENT.search(gap) else "+" if _PRESENT.search(gap) else ""
        colon = ":" in gap and "\n" not in gap
        words.append(Word(match.group(), sentence, clause, match.start(), colon, sign=sign))
        end = match.end()
    if words:
        words[-1] = words[-1]._replace(ends_line=True)
    return words


def _starts_sentence(gap: str, end: int, labels: set[int]) -> bool:
    """Whether the text between two words ends a sentence; `end` is where it begins."""
    if _SENTENCE_END.search(gap):
        return True
    return any(end + i + 1 in labels for i, letter in enumerate(gap) if letter == "\n")
