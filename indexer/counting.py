"""Counting the terms of notes: in Python for few notes, compiled for many; equal results.

Both number terms in order of first appearance. The compiled path reads the UTF-8 bytes of the
lower-cased note; Python is asked about each distinct word once (is it a stop word, what is its
stem), however often it occurs.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .analysis import WORD, Analyzer
from .postings import Counts

_BEYOND = re.compile("[\U00010000-\U0010ffff]")


class TermCounter(Protocol):
    """Counts the terms of notes."""

    @property
    def terms(self) -> list[str]:
        """Terms by provisional id."""
        ...

    def count(self, texts: Sequence[str]) -> Counts:
        """The postings of the next notes."""
        ...


class _TermIds:
    """Numbers terms in order of first appearance."""

    def __init__(self) -> None:
        self.terms: list[str] = []
        self._ids: dict[str, int] = {}

    def number(self, term: str) -> int:
        """The id of a term, a new one if it is new."""
        known = self._ids.get(term)
        if known is None:
            known = self._ids[term] = len(self.terms)
            self.terms.append(term)
        return known


class PythonCounter:
    """The reference: a regular expression and a dictionary."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._ids = _TermIds()
        self.terms = self._ids.terms
        self._analyzer = analyzer

    def count(self, texts: Sequence[str]) -> Counts:
        """The postings of the next notes."""
        terms: list[int] = []
        tfs: list[int] = []
        starts, lengths = [0], []
        for text in texts:
            frequencies = Counter(self._analyzer.terms(text))
            terms += map(self._ids.number, frequencies)
            tfs += frequencies.values()
            starts.append(len(terms))
            lengths.append(frequencies.total())
        return Counts(
            np.array(terms, dtype=np.uint32),
            np.array(tfs, dtype=np.uint32),
            np.array(starts, dtype=np.int64),
            np.array(lengths, dtype=np.uint32),
        )


class CompiledCounter:
    """The same by a numba kernel over UTF-8 bytes (`kernels_text`)."""

    def __init__(self, analyzer: Analyzer) -> None:
        from .kernels_text import WordTable

        self._ids = _TermIds()
        self.terms = self._ids.terms
        self._analyzer = analyzer
        self._table = WordTable()
        self._term_of_word = np.zeros(0, dtype=np.int64)

    def count(self, texts: Sequence[str]) -> Counts:
        """The postings of the next notes."""
        from .kernels_text import count_terms

        words, starts = self._words(texts)
        self._learn()
        terms, tfs, bounds, lengths = count_terms(
            words, starts, self._term_of_word, len(self.terms)
        )
        return Counts(terms, tfs, bounds, lengths)

    def _words(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Word ids of all notes, and where each note begins."""
        lowered = [text.lower() for text in texts]
        raw = [text.encode("utf-8", "surrogatepass") for text in lowered]
        # Beyond the basic plane (lead bytes from 0xF0) the kernel has no table: Python splits.
        for i, data in enumerate(raw):
            if not data.isascii() and _BEYOND.search(lowered[i]):
                raw[i] = " ".join(WORD.findall(lowered[i])).encode("utf-8", "surrogatepass")
        return self._table.split(raw)

    def _learn(self) -> None:
        """Finds the term of each word that appeared for the first time."""
        new = self._table.words(len(self._term_of_word))
        ids = np.empty(len(new), dtype=np.int64)
        for i, word in enumerate(new):
            term = self._analyzer.term(word)
            ids[i] = -1 if term is None else self._ids.number(term)
        self._term_of_word = np.concatenate([self._term_of_word, ids])
