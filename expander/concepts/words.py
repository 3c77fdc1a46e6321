"""The words of a text, each with the sentence and the clause that it belongs to."""

import re
from typing import NamedTuple

from patientdx.characters import compose, word_pattern

_SENTENCE_END = re.compile(r"[.!?](?=\s)|;|\n\s*\n|\n\s*[-*•]")
_CLAUSE_END = re.compile(r"[,:()\[\]]|\s[-–—]\s")


class Word(NamedTuple):
    """A word as written. `sentence` and `clause` are numbers that increase through the text."""

    text: str
    sentence: int
    clause: int

    @property
    def composed(self) -> str:
        """The word with each letter in its usual form, see `patientdx.characters`."""
        return compose(self.text)


def split_words(text: str) -> list[Word]:
    """The words of a text in order, with their marks; a script without blanks is not split."""
    words: list[Word] = []
    sentence = clause = end = 0
    for match in word_pattern().finditer(text):
        gap = text[end : match.start()]
        starts_sentence = bool(words) and _SENTENCE_END.search(gap) is not None
        starts_clause = bool(words) and _CLAUSE_END.search(gap) is not None
        sentence += starts_sentence
        clause += starts_sentence or starts_clause
        words.append(Word(match.group(), sentence, clause))
        end = match.end()
    return words
