"""bm25s with its numba backend."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bm25s
from texts import Note, TokenStore

from .base import K1, B, Engine


class BM25S(Engine):
    title = f"bm25s {version('bm25s')} numba"
    choice = "numba backend, token ids, a repeated term is repeated (it has no term weights)"
    included = "tokenize + index (numba) + save; no texts, no ids stored"
    batches = True

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        del notes
        model = self._model()
        model.index(list(tokens.documents()), show_progress=False)
        model.save(folder, show_progress=False)

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        self.model = bm25s.BM25.load(folder, load_corpus=False, mmap=mmap)
        self.threads = threads

    def prepare(self, text: str, variant: str) -> Any:
        del variant
        return self.model.get_tokens_ids(self.words(text))

    def search(self, query: Any, k: int, variant: str) -> Any:
        del variant
        return self.model.retrieve([query], k=k, show_progress=False)

    def batch(self, queries: Sequence[Any], k: int) -> Any:
        return self.model.retrieve(list(queries), k=k, show_progress=False, n_threads=self.threads)

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        # It pads with notes of score zero.
        hit = result.scores[0] > 0
        return result.documents[0][hit].tolist(), result.scores[0][hit].tolist()

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        del threads
        tokens = bm25s.tokenize(
            [note.text for note in notes],
            token_pattern=r"\w+",
            stopwords=None,
            stemmer=_stemmer(stemmer),
            show_progress=False,
        )
        model = self._model()
        model.index(tokens, show_progress=False)
        model.save(folder, show_progress=False)

    @staticmethod
    def _model() -> Any:
        return bm25s.BM25(k1=K1, b=B, method="lucene", backend="numba")


def _stemmer(name: str) -> Any:
    if name == "none":
        return None
    import Stemmer

    return Stemmer.Stemmer(name)
