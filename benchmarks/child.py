"""One engine in a process of its own: reads commands as JSON lines, answers each with one.

    python benchmarks/child.py ENGINE kept|removed

A process each gives clean figures of peak memory and honest limits on threads, and lets the
passes of the engines take turns on a machine that others use too.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, TextIO

import numpy as np
import peers
from measure import bandwidth, disk_mb, peak_mb, seconds
from peers.base import Engine
from texts import TokenStore, Words, read_notes, read_texts, write_queries, write_tokens

TRIAL_QUERIES = 15
TRIAL_ROUNDS = 3
WARM_UP_NOTES = 4_000
"""Enough for compiled kernels to be loaded and for the JVM to compile its hot paths."""


class Server:
    """The commands. Each takes keywords and gives back what JSON can hold."""

    def __init__(self, name: str, words: Words) -> None:
        self.name = name
        self.words = words
        self.texts: dict[str, list[str]] = {}
        self.queries: dict[tuple[str, str], list[Any]] = {}

    def load(self) -> dict[str, Any]:
        """Imports the engine and describes it."""
        self.engine = _engine(self.name, self.words)
        engine = self.engine
        return {
            "title": engine.title,
            "choice": engine.choice,
            "included": engine.included,
            "variants": engine.variants,
            "limit": engine.limit,
            "batches": engine.batches,
            "saved": engine.saved,
            "exact": engine.exact,
            "notes_at_most": engine.notes_at_most,
        }

    def tokens(self, corpus: str, size: int, folder: str) -> dict[str, Any]:
        """Tokenises the corpus for all engines."""
        return write_tokens(Path(corpus), size, self.words, Path(folder))

    def choose(self, source: str, count: int, tokens: str, into: str) -> int:
        """Writes the queries that every engine can answer."""
        return write_queries(Path(source), count, self.words, Path(tokens), Path(into))

    def build(self, tokens: str, corpus: str, size: int, folder: str) -> float:
        """Saves the index to search in; its size on disk in MiB."""
        notes = read_notes(Path(corpus), size)
        self.engine.build(TokenStore.open(Path(tokens)), notes, Path(folder))
        return disk_mb(Path(folder)) if self.engine.saved else 0.0

    def open(self, folder: str, threads: int = 1, *, mmap: bool = False) -> None:
        """Opens what `build` saved."""
        self.engine.open(Path(folder), threads=threads, mmap=mmap)

    def prepare(self, workload: str, path: str, count: int, variants: list[str]) -> dict[str, Any]:
        """Reads queries and prepares them; per variant, the ms that each took."""
        texts = read_texts(Path(path), min(count, self.engine.limit or count))
        self.texts[workload] = texts
        spent = {}
        for variant in variants:
            prepared: list[Any] = []

            def work(variant: str = variant, prepared: list[Any] = prepared) -> None:
                prepared += [self.engine.prepare(text, variant) for text in texts]

            spent[variant] = seconds(work) / len(texts) * 1e3
            self.queries[workload, variant] = prepared
        return spent

    def trial(self, workload: str, k: int) -> str:
        """The variant that is fastest on the first queries, each variant warmed up before."""
        engine = self.engine
        if len(engine.variants) == 1:
            return engine.variants[0]
        best: dict[str, float] = {}
        for turn in range(1 + TRIAL_ROUNDS):
            for variant in engine.variants:
                spent = self._pass(workload, k, variant, TRIAL_QUERIES)
                if turn:
                    best[variant] = min(spent, best.get(variant, spent))
        return min(best, key=lambda variant: best[variant])

    def one_by_one(self, workload: str, k: int, variant: str) -> dict[str, Any]:
        """Seconds for all queries of a workload, a call for each."""
        count = len(self.queries[workload, variant])
        return {"seconds": self._pass(workload, k, variant, count), "queries": count}

    def batch(self, workload: str, k: int) -> dict[str, Any]:
        """Seconds for all queries of a workload in one call."""
        queries = self.queries[workload, self.engine.variants[0]]
        spent = seconds(lambda: self.engine.batch(queries, k))
        return {"seconds": spent, "queries": len(queries)}

    def differing(self, workload: str, k: int) -> int:
        """Ours alone: queries whose batch ranking differs from that of a single call."""
        engine: Any = self.engine
        return int(engine.differing(self.queries[workload, ""], k))

    def answers(self, workload: str, count: int, k: int, into: str) -> int:
        """Saves rankings for comparison: numbers (-1 where there are fewer) and scores."""
        texts = self.texts[workload][:count]
        numbers = np.full((len(texts), k), -1, dtype=np.int64)
        scores = np.zeros((len(texts), k), dtype=np.float64)
        for row, (doc_numbers, doc_scores) in enumerate(self.engine.answers(texts, k)):
            numbers[row, : len(doc_numbers)] = doc_numbers
            scores[row, : len(doc_scores)] = doc_scores
        np.savez(into, numbers=numbers, scores=scores)
        return len(texts)

    def touched(self, workload: str) -> float:
        """The reference alone: postings that a query's distinct terms have."""
        engine: Any = self.engine
        return float(engine.touched(self.queries[workload, ""]))

    def make(
        self, corpus: str, size: int, folder: str, stemmer: str = "none", threads: int = 1
    ) -> dict[str, Any]:
        """Builds and saves an index from the corpus file, after a small one to warm up.

        `cpu` are the seconds that all threads of the process computed.
        """
        size = min(size, self.engine.notes_at_most or size)
        options: dict[str, Any] = {"stemmer": stemmer, "threads": threads}
        with TemporaryDirectory() as scratch:
            warm = read_notes(Path(corpus), min(size, WARM_UP_NOTES))
            self.engine.make(warm, Path(scratch) / "index", **options)
        notes = read_notes(Path(corpus), size)
        start = process_time()
        spent = seconds(lambda: self.engine.make(notes, Path(folder), **options))
        cpu = process_time() - start
        disk = disk_mb(Path(folder)) if self.engine.saved else 0.0
        return {"seconds": spent, "cpu": cpu, "notes": size, "peak": peak_mb(), "disk": disk}

    def read(self, corpus: str, size: int) -> dict[str, Any]:
        """Reads and parses the corpus and does nothing with it."""
        spent = seconds(lambda: sum(1 for _ in read_notes(Path(corpus), size)))
        return {"seconds": spent, "cpu": spent, "notes": size, "peak": peak_mb(), "disk": 0.0}

    def bandwidth(self) -> float:
        """Bytes a second that one core reads."""
        return bandwidth()

    def peak(self) -> float:
        """Peak resident memory in MiB."""
        return peak_mb()

    def _pass(self, workload: str, k: int, variant: str, count: int) -> float:
        queries, search = self.queries[workload, variant][:count], self.engine.search

        def work() -> None:
            for query in queries:
                search(query, k, variant)

        return seconds(work)

    def commands(self) -> dict[str, Callable[..., Any]]:
        """The commands by name."""
        return {
            method.__name__: method
            for method in (
                *(self.load, self.tokens, self.choose, self.build, self.open, self.prepare),
                *(self.trial, self.one_by_one, self.batch, self.differing, self.answers),
                *(self.touched, self.make, self.read, self.bandwidth, self.peak),
            )
        }


def _engine(name: str, words: Words) -> Engine:
    if name == "exact":
        from peers.exact import Exact

        return Exact(words)
    return peers.load(name, words)


def _answers(server: Server, requests: TextIO) -> Iterator[dict[str, Any]]:
    commands = server.commands()
    for line in requests:
        request = json.loads(line)
        try:
            yield {"value": commands[request.pop("do")](**request)}
        except ModuleNotFoundError as error:
            yield {"missing": str(error)}


def main() -> None:
    # What libraries and the JVM print must not get between the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name, stop_words = sys.argv[1:]
    server = Server(name, Words(without_stop_words=stop_words == "removed"))
    for answer in _answers(server, sys.stdin):
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
