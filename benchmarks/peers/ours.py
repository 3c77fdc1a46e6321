"""This project's own engine, through its public calls."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from texts import Note, TokenStore

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.writing import build
from patientdx.records import Patient, Query

from .base import K1, B, Engine


def patients(notes: Iterable[Note]) -> Iterator[Patient]:
    """Rows of the corpus as patients."""
    for note in notes:
        yield Patient(note.note_id, note.text, "", float(note.age), note.sex)


class Ours(Engine):
    title = "PatientDx"
    choice = "compiled engine; `rank_terms` for weighed queries, one or many in a call"
    included = "analysis, postings, ids, ages and sexes; the notes are stored, compressed"
    batches = True

    def build(self, tokens: TokenStore, folder: Path) -> None:
        raise NotImplementedError("ours analyses the texts itself: see build_from")

    def build_from(self, notes: Iterable[Note], folder: Path) -> None:
        """The index to search in. The exactness check shows that its tokens are the same."""
        analysis = AnalysisSettings("english" if self.words.stop else "none", "none")
        build(folder, patients(notes), analysis=analysis, bm25=BM25Settings(K1, B))

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
        # The whole way to ids is checked by `hits`; here note numbers are corpus order.
        return result.notes.tolist(), result.scores.tolist()

    def hits(self, text: str, k: int) -> tuple[list[int], list[float]]:
        """What a user gets from `search_many`."""
        hits = self.index.search_many([Query("q", text)], k)[0]
        return [int(hit.doc_id[1:]) for hit in hits], [hit.score for hit in hits]

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        del threads
        build(folder, patients(notes), analysis=AnalysisSettings("none", stemmer))
