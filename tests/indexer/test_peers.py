"""The same scores as bm25s and rank-bm25, from the same tokens, on the shipped sample."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import tokens_by

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.writer import build_index
from patientdx.records import Hit, Patient, Query
from patientdx.sample import sample_folder

SETTINGS = [BM25Settings(0.9, 0.4), BM25Settings(1.5, 0.75)]
CHOSEN = AnalysisSettings("english", "english")


def rows(name: str) -> list[dict[str, Any]]:
    path = Path(str(sample_folder())) / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [Patient(row["_id"], row["text"], row["title"]) for row in rows("corpus.jsonl")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, patients: list[Patient]) -> Path:
    folder = tmp_path_factory.mktemp("peers") / "index"
    build_index(folder, patients, analysis=CHOSEN)
    return folder


@pytest.fixture(scope="module")
def queries(patients: list[Patient]) -> list[Query]:
    """The sample's own queries, and notes themselves."""
    judged = [Query(row["_id"], row["text"]) for row in rows("queries.jsonl")]
    return judged + [Query(patient.patient_id, patient.full_text) for patient in patients[::25]]


def tokens(text: str) -> list[str]:
    return list(tokens_by("english", "english")(text))


def bm25s_scores(texts: list[list[str]], terms: list[str], settings: BM25Settings) -> np.ndarray:
    import bm25s

    retriever = bm25s.BM25(method="lucene", k1=settings.k1, b=settings.b)
    retriever.index(texts, show_progress=False)
    # bm25s takes a repeated word of a query once, we (as Lucene) as often as it is said.
    total = np.zeros(len(texts))
    for term, count in Counter(terms).items():
        if term in retriever.vocab_dict:
            total += count * retriever.get_scores([term]).astype(np.float64)
    return total


def rank_bm25_scores(
    texts: list[list[str]], terms: list[str], settings: BM25Settings
) -> np.ndarray:
    from rank_bm25 import BM25Okapi

    peer = BM25Okapi(texts, k1=settings.k1, b=settings.b)
    holders = Counter(term for text in texts for term in set(text))
    peer.idf = {t: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for t, n in holders.items()}
    # rank-bm25 has the factor k1 + 1 of the original formula, Lucene has not.
    return np.asarray(peer.get_scores(terms)) / (settings.k1 + 1)


@pytest.mark.parametrize("peer", [bm25s_scores, rank_bm25_scores])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_scores_are_those_of_peers(
    folder: Path,
    patients: list[Patient],
    queries: list[Query],
    settings: BM25Settings,
    peer: Any,
    engine: Any,
) -> None:
    index = Index.open(folder, bm25=settings, engine=engine)
    texts = [tokens(patient.full_text) for patient in patients]
    ids = [patient.patient_id for patient in patients]
    results = index.search_many(queries, len(patients))
    assert len(results) > 20
    for query, hits in zip(queries, results, strict=True):
        scores = dict(zip(ids, peer(texts, tokens(query.text), settings).tolist(), strict=True))
        assert {hit.doc_id for hit in hits} == {i for i, score in scores.items() if score > 0}
        for hit in hits:
            assert hit.score == pytest.approx(scores[hit.doc_id], rel=1e-5)
        assert_same_top(hits[:10], scores)
        assert index.search_many([query], 10) == [hits[:10]]


def assert_same_top(hits: list[Hit], scores: dict[str, float]) -> None:
    """The ten best are the peer's ten best, but for notes that tie with the tenth."""
    order = sorted(scores.values(), reverse=True)[: len(hits)]
    assert [scores[hit.doc_id] for hit in hits] == pytest.approx(order, rel=1e-5)
