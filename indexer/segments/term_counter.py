"""Counting the terms of notes, in Python or with the compiled engine, with equal results.

Both number the terms in order of first appearance. The compiled engine splits the UTF-8 bytes of
the notes into words; the analyzer then maps each distinct word to its term, once.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Protocol
from unicodedata import decomposition

import numpy as np
from numpy.typing import NDArray

from indexer.analysis import WORD, Analyzer
from indexer.compiled import require_native
from patientdx.characters import context_pattern, fold

from .postings import NotePostings

_BASIC_PLANE = 0x10000
_NEEDS_PYTHON = 0xFFFF


class TermCounter(Protocol):
    """Counts the terms of notes, batch by batch."""

    @property
    def terms(self) -> list[str]:
        """All terms so far, in the order of their provisional ids."""
        ...

    def count(self, texts: Sequence[str]) -> NotePostings:
        """The postings of the next notes."""
        ...


class _TermIds:
    """Numbers terms in order of first appearance."""

    def __init__(self) -> None:
        self.terms: list[str] = []
        self._ids: dict[str, int] = {}

    def id_of(self, term: str) -> int:
        """The id of a term, which is added if it is new."""
        known = self._ids.get(term)
        if known is None:
            known = self._ids[term] = len(self.terms)
            self.terms.append(term)
        return known


class PythonCounter:
    """The reference implementation: the analyzer and a dictionary."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._ids = _TermIds()
        self.terms = self._ids.terms
        self._analyzer = analyzer

    def count(self, texts: Sequence[str]) -> NotePostings:
        """The postings of the next notes."""
        terms: list[int] = []
        tfs: list[int] = []
        starts, lengths = [0], []
        for text in texts:
            frequencies = Counter(self._analyzer.terms(text))
            terms += map(self._ids.id_of, frequencies)
            tfs += frequencies.values()
            starts.append(len(terms))
            lengths.append(frequencies.total())
        return NotePostings(
            np.array(terms, dtype=np.uint32),
            np.array(tfs, dtype=np.uint32),
            np.array(starts, dtype=np.int64),
            np.array(lengths, dtype=np.uint32),
        )


class CompiledCounter:
    """Counts with the compiled engine, over UTF-8 bytes (`native/text.c`)."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._ids = _TermIds()
        self.terms = self._ids.terms
        self._analyzer = analyzer
        folds = normalization_table() if analyzer.normalizes else case_folding_table()
        # The engine knows the notes that need Python by the first table, and splits by the second,
        # in which characters that only Python folds stay as Python wrote them.
        own = np.arange(_BASIC_PLANE, dtype=np.uint16)
        self._difficult = require_native().WordTable(folds)
        self._words = require_native().WordTable(np.where(folds == _NEEDS_PYTHON, own, folds))
        self._term_of_word = np.zeros(0, dtype=np.int32)

    def count(self, texts: Sequence[str]) -> NotePostings:
        """The postings of the next notes."""
        tokens = self._words.tokenize(self._prepare_texts(texts))
        self._assign_terms()
        terms, tfs = np.empty(tokens, dtype=np.uint32), np.empty(tokens, dtype=np.uint32)
        starts = np.empty(len(texts) + 1, dtype=np.int64)
        lengths = np.empty(len(texts), dtype=np.uint32)
        place = np.full(len(self.terms), -1, dtype=np.int64)
        size = self._words.count_terms(self._term_of_word, place, terms, tfs, starts, lengths)
        return NotePostings(terms[:size].copy(), tfs[:size].copy(), starts, lengths)

    def _prepare_texts(self, texts: Sequence[str]) -> list[str | bytes]:
        """The notes as the engine reads them.

        Notes with characters that the engine cannot fold are folded by Python. Those that still
        hold characters whose word depends on their neighbours are split into words by Python.
        """
        notes: list[str | bytes] = list(texts)
        try:
            difficult = self._difficult.needing_python(notes)
        except UnicodeEncodeError:  # a lone surrogate: no UTF-8 of its own
            notes = [_encode(text) for text in texts]
            difficult = self._difficult.needing_python(notes)
        folded = [_encode(self._analyzer.normalize(texts[i])) for i in difficult]
        for i, note in zip(difficult, folded, strict=True):
            notes[i] = note
        for place in self._difficult.needing_python(folded):
            i = difficult[place]
            notes[i] = _encode(" ".join(self._analyzer.words(texts[i])))
        return notes

    def _assign_terms(self) -> None:
        """Maps each new word to its term."""
        new = self._words.words(len(self._term_of_word))
        ids = np.empty(len(new), dtype=np.int32)
        for i, word in enumerate(new):
            term = self._analyzer.term(word)
            ids[i] = -1 if term is None else self._ids.id_of(term)
        self._term_of_word = np.concatenate([self._term_of_word, ids])


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@cache
def normalization_table() -> NDArray[np.uint16]:
    """The folded form of each word character of the basic multilingual plane; 0 for others.

    0xFFFF marks characters that only Python folds: what joins with its neighbours, has no width,
    is written without blanks between words, or folds to several characters with words in them.
    """
    table = np.zeros(_BASIC_PLANE, dtype=np.uint16)
    everything = "".join(map(chr, range(_BASIC_PLANE)))
    for match in context_pattern().finditer(everything):
        table[match.start()] = _NEEDS_PYTHON
    depends = context_pattern().match
    for code in np.flatnonzero(table == 0).tolist():
        character = chr(code)
        if not character.isalnum() and character != "_" and not decomposition(character):
            continue
        folded = fold(character)
        if len(folded) == 1 and (folded.isalnum() or folded == "_") and not depends(folded):
            table[code] = ord(folded)
        elif not folded or depends(folded) or WORD.search(folded):
            table[code] = _NEEDS_PYTHON
    return table


@cache
def case_folding_table() -> NDArray[np.uint16]:
    """Lower case of each word character of the basic multilingual plane; 0 for other characters.

    0xFFFF marks characters that only Python lower-cases correctly: capital sigma, which depends
    on its neighbours, and characters whose lower case is longer than one character.
    """
    table = np.zeros(_BASIC_PLANE, dtype=np.uint16)
    for code in range(_BASIC_PLANE):
        lower = chr(code).lower()
        if len(lower) > 1 or lower > "\uffff" or code == ord("\u03a3"):
            table[code] = _NEEDS_PYTHON
        elif lower.isalnum() or lower == "_":
            table[code] = ord(lower)
    return table
