"""Finding the concepts of a vocabulary in a note: the longest names, in any inflection."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from patientdx.assertions import Word, find_negated, split_words
from patientdx.characters import compose
from patientdx.protocols import CorpusView

from .concept import Concept


class Mention(NamedTuple):
    """A place in a note that names concepts.

    `concepts` are positions in the vocabulary, several where a name has several meanings;
    `terms` are the index terms of the name as written there.
    """

    concepts: tuple[int, ...]
    terms: tuple[str, ...]
    negated: bool


class _Token(NamedTuple):
    """An index term, the position of its word among all words of the note, and the word."""

    term: str
    position: int
    word: Word


class ConceptFinder:
    """Finds the names of a vocabulary in notes.

    Names and notes go through the analysis of the index, so that a plural matches its singular
    wherever the index would match it. A name that is a single word in capitals (MI, ASD) is an
    abbreviation and must be written the same way in the note. A name never matches across a comma
    or another end of a clause.
    """

    def __init__(self, vocabulary: Sequence[Concept], corpus: CorpusView) -> None:
        self._corpus = corpus
        self._by_abbreviation: dict[str, list[int]] = {}
        self._by_terms: dict[tuple[str, ...], list[int]] = {}
        # First term -> number of terms of the longest name that begins with it.
        self._max_length: dict[str, int] = {}
        for number, concept in enumerate(vocabulary):
            for name in concept.names:
                if not name.is_ambiguous:
                    self._add_name(name.text, number)

    def _add_name(self, name: str, number: int) -> None:
        if is_abbreviation(compose(name)):
            self._by_abbreviation.setdefault(compose(name), []).append(number)
            return
        terms = tuple(self._corpus.terms(name))
        if not any(len(term) > 1 and not term.isdigit() for term in terms):
            return
        numbers = self._by_terms.setdefault(terms, [])
        if number not in numbers:
            numbers.append(number)
        self._max_length[terms[0]] = max(len(terms), self._max_length.get(terms[0], 0))

    def find(self, text: str) -> list[Mention]:
        """The mentions in a note, in order and without overlap."""
        words = split_words(text)
        negated = find_negated(words)
        mentions = []
        for _, clause in groupby(self._tokens(words), key=lambda token: token.word.clause):
            tokens = list(clause)
            start = 0
            while start < len(tokens):
                length, concepts = self._match(tokens, start)
                if concepts:
                    name = tokens[start : start + length]
                    is_negated = any(negated[token.position] for token in name)
                    terms = tuple(token.term for token in name)
                    mentions.append(Mention(tuple(concepts), terms, is_negated))
                start += length
        return mentions

    def _tokens(self, words: list[Word]) -> list[_Token]:
        return [
            _Token(term, position, word)
            for position, word in enumerate(words)
            for term in self._corpus.terms(word.text)
        ]

    def _match(self, tokens: list[_Token], start: int) -> tuple[int, list[int]]:
        """Length and concepts of the longest name that begins at a token; (1, []) without one."""
        first = tokens[start]
        max_length = min(self._max_length.get(first.term, 0), len(tokens) - start)
        for length in range(max_length, 1, -1):
            terms = tuple(token.term for token in tokens[start : start + length])
            concepts = self._by_terms.get(terms)
            if concepts:
                return length, concepts
        abbreviated = self._by_abbreviation.get(first.word.composed)
        return 1, abbreviated or self._by_terms.get((first.term,), [])


def is_abbreviation(name: str) -> bool:
    """Whether a name is a single word of 2 to 8 capitals and digits."""
    return name.isalnum() and name.isupper() and 2 <= len(name) <= 8
