"""The words of a text where they stand, with the sentence and the clause that each is in."""

import re
from typing import NamedTuple

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|;|\n\s*\n|\n\s*[-*•]")
_CLAUSE_END = re.compile(r"[,:()\[\]]|\s[-–—]\s")


class Word(NamedTuple):
    """One word as written. `sentence` and `clause` are numbers that rise through the text."""

    text: str
    sentence: int
    clause: int


def words_of(text: str) -> list[Word]:
    """The words of a text in order, found as the index finds them."""
    found: list[Word] = []
    sentence = clause = end = 0
    for match in _WORD.finditer(text):
        gap = text[end : match.start()]
        new_sentence = bool(found) and _SENTENCE_END.search(gap) is not None
        sentence += new_sentence
        clause += new_sentence or (bool(found) and _CLAUSE_END.search(gap) is not None)
        found.append(Word(match.group(), sentence, clause))
        end = match.end()
    return found
