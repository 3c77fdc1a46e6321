"""The reference: BM25 by brute force in float64 over the tokens, written apart from indexer/."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from texts import Note, TokenStore

from .base import K1, B, Engine


class Exact(Engine):
    title = "exact"
    choice = "scores as Lucene's BM25 with true lengths, summed in the byte order of the terms"
    included = ""

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        raise NotImplementedError("the reference reads the tokens themselves")

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        """`folder` holds the tokens."""
        del threads, mmap
        store = TokenStore.open(folder)
        lengths = np.diff(store.offsets)
        self.size = len(store)
        self.terms = {word: number for number, word in enumerate(store.vocabulary)}
        self.norms = K1 * ((1 - B) + B * (lengths / lengths.mean()))
        notes = np.repeat(np.arange(self.size, dtype=np.int64), lengths)
        keys = np.array(store.numbers, dtype=np.int64) * self.size + notes
        del notes
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        self.frequencies = np.diff(starts, append=len(keys)).astype(np.int32)
        keys = keys[starts]
        self.notes = (keys % self.size).astype(np.int32)
        bounds = np.arange(len(self.terms) + 1, dtype=np.int64) * self.size
        self.offsets = np.searchsorted(keys, bounds)
        names = np.array([f"n{number}" for number in range(self.size)])
        self.rank_of_id = np.argsort(np.argsort(names))

    def prepare(self, text: str, variant: str) -> Any:
        del variant
        counts = Counter(self.words(text))
        known = sorted((word for word in counts if word in self.terms), key=str.encode)
        return [(self.terms[word], counts[word]) for word in known]

    def search(self, query: Any, k: int, variant: str) -> Any:
        del variant
        scores = np.zeros(self.size, dtype=np.float64)
        for term, count in query:
            held = slice(self.offsets[term], self.offsets[term + 1])
            notes, tf = self.notes[held], self.frequencies[held].astype(np.float64)
            weight = count * math.log(1 + (self.size - len(tf) + 0.5) / (len(tf) + 0.5))
            scores[notes] += weight * (tf / (tf + self.norms[notes]))
        rounded = scores.astype(np.float32)
        order = np.lexsort((self.rank_of_id, rounded))[::-1][:k]
        return order[rounded[order] > 0], rounded

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        order, scores = result
        return order.tolist(), scores[order].tolist()

    def touched(self, queries: Sequence[Any]) -> float:
        """Postings of the distinct terms of a query, on average."""
        df = np.diff(self.offsets)
        return float(np.mean([df[[term for term, _ in query]].sum() for query in queries]))
