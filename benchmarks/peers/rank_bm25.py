"""rank-bm25, with Lucene's idf in place of its own so that its scores can be compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rank_bm25 import BM25Okapi
from texts import Note, TokenStore

from .base import K1, B, Engine


class LuceneIdf(BM25Okapi):  # type: ignore[misc]
    """Its own idf turns negative for common words and is then replaced; Lucene's never is."""

    def _calc_idf(self, nd: Mapping[str, int]) -> None:
        size = self.corpus_size
        for word, df in nd.items():
            # It multiplies by k1 + 1, which Lucene has left out since version 8.
            self.idf[word] = math.log(1 + (size - df + 0.5) / (df + 0.5)) / (self.k1 + 1)


class RankBM25(Engine):
    title = f"rank-bm25 {version('rank-bm25')}"
    choice = "Lucene's idf; argsort of all scores; few queries"
    included = (
        "words by Python's `re`, counting; held in memory, nothing saved; a part of the notes"
    )
    limit = 2
    saved = False
    notes_at_most = 5_000

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        del notes, folder
        self.model = LuceneIdf(tokens.documents(), k1=K1, b=B)

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        """Nothing was saved: the model that `build` made is used."""

    def prepare(self, text: str, variant: str) -> Any:
        del variant
        return self.words(text)

    def search(self, query: Any, k: int, variant: str) -> Any:
        del variant
        scores = self.model.get_scores(query)
        best = np.argsort(scores)[::-1][:k]
        return best, scores[best]

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        numbers, scores = result
        return numbers[scores > 0].tolist(), scores[scores > 0].tolist()

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        del folder, threads
        if stemmer != "none":
            raise NotImplementedError
        self.model = BM25Okapi([self.words(note.text) for note in notes], k1=K1, b=B)
