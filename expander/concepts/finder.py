"""Finds the concepts of a vocabulary in a note: the longest names, in any inflection."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from patientdx.protocols import CorpusView

from .negation import denied_words
from .vocabulary import Concept
from .words import Word, words_of


class Mention(NamedTuple):
    """A place of a note that names concepts.

    `concepts` are numbers in the vocabulary, several where a name has several meanings;
    `terms` are the index terms of the name as it stands there.
    """

    concepts: tuple[int, ...]
    terms: tuple[str, ...]
    denied: bool


class _Token(NamedTuple):
    """A word that the index keeps: its term, its place among all words, and the word."""

    term: str
    place: int
    word: Word


class ConceptFinder:
    """The names of a vocabulary as index terms.

    Names and notes are analysed alike, so that a plural finds its singular wherever the index
    would. A name of one word in capitals (MI, ASD) is an abbreviation and must stand in the
    note as it is written. A name never runs across a comma or another end of a clause.
    """

    def __init__(self, vocabulary: Sequence[Concept], corpus: CorpusView) -> None:
        self._corpus = corpus
        self._written: dict[str, list[int]] = {}
        self._analysed: dict[tuple[str, ...], list[int]] = {}
        self._longest: dict[str, int] = {}
        for number, concept in enumerate(vocabulary):
            for name in concept.names:
                if name.found:
                    self._add(name.text, number)

    def _add(self, text: str, number: int) -> None:
        if is_abbreviation(text):
            self._written.setdefault(text, []).append(number)
            return
        terms = tuple(self._corpus.terms(text))
        if not any(len(term) > 1 and not term.isdigit() for term in terms):
            return
        numbers = self._analysed.setdefault(terms, [])
        if number not in numbers:
            numbers.append(number)
        self._longest[terms[0]] = max(len(terms), self._longest.get(terms[0], 0))

    def find(self, text: str) -> list[Mention]:
        """The mentions in a note, in order and without overlap."""
        words = words_of(text)
        denied = denied_words(words)
        mentions = []
        for _, clause in groupby(self._tokens(words), key=lambda token: token.word.clause):
            tokens = list(clause)
            at = 0
            while at < len(tokens):
                length, concepts = self._match(tokens, at)
                if concepts:
                    found = tokens[at : at + length]
                    is_denied = any(denied[token.place] for token in found)
                    terms = tuple(token.term for token in found)
                    mentions.append(Mention(tuple(concepts), terms, is_denied))
                at += length
        return mentions

    def _tokens(self, words: list[Word]) -> list[_Token]:
        return [
            _Token(term, place, word)
            for place, word in enumerate(words)
            for term in self._corpus.terms(word.text)
        ]

    def _match(self, tokens: list[_Token], at: int) -> tuple[int, list[int]]:
        """The longest name that begins at a token: its length and concepts; (1, []) for none."""
        longest = min(self._longest.get(tokens[at].term, 0), len(tokens) - at)
        for length in range(longest, 1, -1):
            concepts = self._analysed.get(tuple(token.term for token in tokens[at : at + length]))
            if concepts:
                return length, concepts
        written = self._written.get(tokens[at].word.text)
        return 1, written or self._analysed.get((tokens[at].term,), [])


def is_abbreviation(name: str) -> bool:
    """Whether a name is one word in capitals, perhaps with digits."""
    return name.isalnum() and name.isupper() and 2 <= len(name) <= 8
