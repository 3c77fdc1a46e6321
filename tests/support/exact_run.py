"""The measures of exact BM25 over whole corpora, without a line of the program.

`oracle` is the definition, one note at a time; this is the same arithmetic over arrays of
postings, so that thousands of notes take seconds. Notes, queries and judgements are read by json
and csv, and measured by trec_eval; RR is counted over the whole ranking.
"""

import csv
import gzip
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracle import Tokens

MEASURES = ("P@10", "nDCG@10", "R@1000")


def lines(path: Path) -> list[str]:
    """The lines of a file that may be packed by gzip."""
    packed = path.with_name(f"{path.name}.gz")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()
    return path.read_text(encoding="utf-8").splitlines()


def beir_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file that may be packed by gzip."""
    return [json.loads(line) for line in lines(path)]


def beir_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements in BEIR's three columns."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for row in csv.DictReader(lines(path), delimiter="\t"):
        judged[row["query-id"]][row["corpus-id"]] = int(row["score"])
    return dict(judged)


@dataclass(frozen=True)
class Collection:
    """Ids and texts of notes, ready to be scored."""

    ids: list[str]
    texts: list[str]
    tokens: Tokens
    k1: float
    b: float

    @classmethod
    def of(cls, folder: Path, tokens: Tokens, k1: float, b: float) -> "Collection":
        """The corpus of a BEIR folder; titles come before texts."""
        held = beir_rows(folder / "corpus.jsonl")
        texts = [f"{row['title']}\n{row['text']}" if row["title"] else row["text"] for row in held]
        return cls([row["_id"] for row in held], texts, tokens, k1, b)

    @cached_property
    def postings(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Notes and frequencies of each term."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, text in enumerate(self.texts):
            for term, count in Counter(self.tokens(text)).items():
                found[term].append((number, count))
        return {
            term: (np.array([n for n, _ in held]), np.array([float(tf) for _, tf in held]))
            for term, held in found.items()
        }

    @cached_property
    def norms(self) -> NDArray[np.float64]:
        """norm(d) of each note."""
        lengths = np.array([float(len(self.tokens(text))) for text in self.texts])
        norms: NDArray[np.float64] = self.k1 * (1.0 - self.b + self.b * (lengths / lengths.mean()))
        return norms

    def ranking(self, text: str) -> list[tuple[str, float]]:
        """All hits, best first."""
        scores = np.zeros(len(self.ids))
        counts = Counter(self.tokens(text))
        for term in sorted(counts.keys() & self.postings.keys(), key=str.encode):
            notes, tfs = self.postings[term]
            idf = math.log(1.0 + (len(self.ids) - len(notes) + 0.5) / (len(notes) + 0.5))
            scores[notes] += counts[term] * idf * (tfs / (tfs + self.norms[notes]))
        rounded = scores.astype(np.float32)
        hits = [(self.ids[n], float(rounded[n])) for n in np.flatnonzero(rounded > 0)]
        return sorted(hits, key=lambda hit: (hit[1], hit[0].encode()), reverse=True)

    def means(
        self, queries: list[dict[str, Any]], judged: dict[str, dict[str, int]]
    ) -> dict[str, float]:
        """The means over all judged queries; a query's own note is no hit."""
        import pytrec_eval

        run, reciprocal = {}, 0.0
        for query in queries:
            query_id = query["_id"]
            if query_id not in judged:
                continue
            hits = [hit for hit in self.ranking(query["text"]) if hit[0] != query_id]
            run[query_id] = dict(hits[:1000])
            good = {doc for doc, grade in judged[query_id].items() if grade > 0} - {query_id}
            ranks = (rank for rank, (doc, _) in enumerate(hits, 1) if doc in good)
            reciprocal += 1 / next(ranks, math.inf)
        names = {"P@10": "P_10", "nDCG@10": "ndcg_cut_10", "R@1000": "recall_1000"}
        scored = pytrec_eval.RelevanceEvaluator(judged, set(names.values())).evaluate(run)
        sums = {
            name: math.fsum(values[theirs] for values in scored.values())
            for name, theirs in names.items()
        }
        return {name: total / len(judged) for name, total in {"RR": reciprocal, **sums}.items()}
