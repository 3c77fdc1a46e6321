"""Corpora of thousands of notes: several runs, full candidate tables, all kinds of terms."""

from pathlib import Path
from random import Random
from typing import Literal

import pytest
from oracle import Oracle, tokens_by

from indexer.analysis import AnalysisSettings
from indexer.index import Index
from indexer.scoring.scorer import Engine
from indexer.storage.layout import BLOCKED, DENSE, RARE, Layout
from indexer.verify import verify_index
from indexer.writer import build_index, delete_patients
from patientdx.records import Filter, Patient, Query

ANALYSIS = AnalysisSettings("none", "none")
# More notes than a run holds (65,536), and than the candidate table of a small k (8,192).
COUNT = 70_001
LAYOUTS = {
    "default": Layout(),
    "small": Layout(block_docs=256, dense_min_notes=4, blocked_per_block=2.0),
    "odd": Layout(block_docs=1000, dense_share=0.5, dense_min_notes=4, blocked_per_block=4.0),
}


def notes() -> list[Patient]:
    """Notes that tie by the thousand, and some that do not."""
    rnd = Random(7)
    notes = []
    for i in range(COUNT):
        words = ["all"] + [f"w{j}" for j in range(12) if rnd.random() < 1 / (1 + j)]
        if i % 5000 == 0:
            words += ["often"] * 300 + ["w3"] * (15 + i % 3)
        if i % 701 == 0:
            words.append(f"rare{i % 7}")
        sex: Literal["F", "M"] = "M" if i % 2 else "F"
        notes.append(Patient(f"n{i * 7919 % COUNT}", " ".join(words), sex=sex))
    return notes


QUERIES = [
    Query("everyone", "all"),
    Query("common", "all w0 w1 w2 w3 w11"),
    Query("mixed", "w11 w7 rare3 rare6 often nosuchword"),
    Query("rare", "rare1 often often"),
    Query("weighed", "w5", {"w9": 0.25, "rare2": 7.5, "all": 1e-3}),
]
GONE = [f"n{i}" for i in range(0, COUNT, 9)]


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    left = {patient.patient_id: patient for patient in notes()}
    for i in GONE:
        del left[i]
    return Oracle(left, tokens_by("none", "none"), 0.9, 0.4)


@pytest.fixture(scope="module", params=LAYOUTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale") / "index"
    build_index(folder, notes(), analysis=ANALYSIS, layout=LAYOUTS[request.param])
    delete_patients(folder, GONE)
    return folder


@pytest.fixture(scope="module")
def rankings(oracle: Oracle) -> dict[Filter | None, list[list[tuple[str, float]]]]:
    wheres = (None, Filter(sex="F", exclude_ids=frozenset({"n1", "n10", "n0"})))
    return {where: [oracle.ranking(query, where) for query in QUERIES] for where in wheres}


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_thousands_of_ties(
    folder: Path, rankings: dict[Filter | None, list[list[tuple[str, float]]]], engine: Engine
) -> None:
    index = Index.open(folder, engine=engine, threads=2)
    for where, orders in rankings.items():
        for k in (1, 10, 3000, 20_000, COUNT):
            expected = [order[:k] for order in orders]
            assert index.search_many(QUERIES, k, where) == expected
        for query, order in zip(QUERIES, orders, strict=True):
            assert index.search_many([query], 10, where) == [order[:10]]
            places = {1, 2, len(order) // 2, len(order)}
            wanted = [order[place - 1][0] for place in sorted(places)]
            assert index.ranks_many([query], [wanted], [where]) == [sorted(places)]


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_more_queries_than_a_batch(
    folder: Path, rankings: dict[Filter | None, list[list[tuple[str, float]]]], engine: Engine
) -> None:
    index = Index.open(folder, engine=engine, threads=2)
    repeats = 30 if engine == "compiled" else 2
    expected = [order[:7] for order in rankings[None]] * repeats
    assert index.search_many(QUERIES * repeats, 7) == expected


def test_all_kinds_of_terms_occur(folder: Path) -> None:
    index = Index.open(folder)
    kinds = {int(kind) for segment in index._segments for kind in segment.arrays.kind}
    assert kinds == {RARE, BLOCKED, DENSE}
    assert verify_index(folder)[1] == []
