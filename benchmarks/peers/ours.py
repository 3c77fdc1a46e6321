"""This project's own engine, through its public calls."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from texts import Note, TokenStore

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.scoring.ranking import Ranking
from indexer.writer import build_index
from patientdx.records import Patient, Query

from .base import K1, B, Engine


def patients(notes: Iterable[Note]) -> Iterator[Patient]:
    """Rows of the corpus as patients."""
    for note in notes:
        yield Patient(note.note_id, note.text, "", float(note.age), note.sex)


class Ours(Engine):
    title = "PatientDx"
    choice = "compiled engine; `rank_terms` for weighed queries, one or many in a call"
    included = "analysis, postings, ids, ages, sexes, the notes compressed; three threads"
    batches = True

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        # It analyses the texts itself; that its tokens are the same, the exactness check shows.
        del tokens
        stopwords = "english" if self.words.stop else "none"
        # As its peers, which know words as they are written.
        analysis = AnalysisSettings(stopwords, "none", normalization="none")
        build_index(folder, patients(notes), analysis=analysis, bm25=BM25Settings(K1, B))

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        del mmap
        self.index = Index.open(folder, engine="compiled", threads=threads)

    def prepare(self, text: str, variant: str) -> Any:
        del variant
        return self.index.weigh(Query("q", text))

    def search(self, query: Any, k: int, variant: str) -> Any:
        del variant
        return self.index.rank_terms([query], k)[0]

    def batch(self, queries: Sequence[Any], k: int) -> Any:
        return self.index.rank_terms(queries, k)

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        return result.notes.tolist(), result.scores.tolist()

    def answers(self, texts: Sequence[str], k: int) -> list[tuple[Sequence[int], Sequence[float]]]:
        """What a user gets, with ids, from one call for all."""
        queries = [Query(str(number), text) for number, text in enumerate(texts)]
        return [
            ([int(hit.doc_id[1:]) for hit in hits], [hit.score for hit in hits])
            for hits in self.index.search_many(queries, k)
        ]

    def differing(self, queries: Sequence[Any], k: int) -> int:
        """Number of queries whose ranking in one batch is not that of a call of their own."""
        together = self.batch(queries, k)
        pairs = zip(queries, together, strict=True)
        return sum(not _same(self.search(query, k, ""), ranking) for query, ranking in pairs)

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        del threads
        build_index(folder, patients(notes), analysis=AnalysisSettings("none", stemmer))


def _same(first: Ranking, second: Ranking) -> bool:
    return np.array_equal(first.notes, second.notes) and np.array_equal(first.scores, second.scores)
