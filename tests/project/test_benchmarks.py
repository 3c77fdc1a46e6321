"""The benchmark scripts run, and their checks find what they should."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
PEERS = {"bm25s": "bm25s", "tantivy": "tantivy", "rank_bm25": "rank-bm25"}
ENGINES = ",".join(("ours", *PEERS.values()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in PEERS:
        pytest.importorskip(module)
    return tmp_path_factory.mktemp("recds")


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agreement", BENCHMARKS / "agreement.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: str, folder: Path, *options: str) -> str:
    command: list[str | Path] = [sys.executable, BENCHMARKS / script, "--size", "300"]
    command += ["--folder", folder, "--queries", "6", "--repeats", "1", *options]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.slow
def test_search_agrees_and_prints_a_row_for_each_engine(folder: Path) -> None:
    json_file = folder / "search.json"
    options = ("--batch", "6", "--analyses", "removed", "--engines", ENGINES, "--json", json_file)
    shown = run("search.py", folder, *map(str, options))
    for title in ("PatientDx", "bm25s", "tantivy", "rank-bm25"):
        assert f"\n| {title}" in shown
    rows = json.loads(json_file.read_text())["analyses"]["removed"]["rows"]
    assert [row["name"] for row in rows] == ENGINES.split(",")
    assert not any(row["error"] for row in rows)
    ours, bm25s, tantivy, rank_bm25 = rows
    queries, identical = 0, 1
    assert [part[queries] for part in ours["agreement"].values()] == [6, 6]
    assert [part[identical] for part in ours["agreement"].values()] == [1.0, 1.0]
    assert ours["differing"] == 0
    for row in (bm25s, rank_bm25):
        assert [part[2] for part in row["agreement"].values()] == [1.0, 1.0]
    assert all(part[3] > 0.8 for part in tantivy["agreement"].values())
    assert ours["peak_mb"][""] > 0
    assert set(bm25s["peak_mb"]) == {"", "mmap"}


@pytest.mark.slow
def test_search_goes_on_without_an_engine_that_is_not_installed(folder: Path) -> None:
    if importlib.util.find_spec("pyserini"):
        pytest.skip("pyserini is installed")
    options = ("--batch", "6", "--analyses", "kept", "--engines", "lucene,tantivy")
    shown = run("search.py", folder, *options)
    assert "| lucene | not installed" in shown
    assert "| tantivy" in shown


@pytest.mark.slow
def test_index_prints_a_row_for_each_build(folder: Path) -> None:
    json_file = folder / "index.json"
    shown = run("index.py", folder, "--engines", ENGINES, "--json", str(json_file))
    rows = json.loads(json_file.read_text())["rows"]
    assert [row["name"] for row in rows] == [
        "reading and parsing the JSONL alone",
        "ours",
        "bm25s",
        "tantivy, default threads",
        "tantivy, 1 thread",
        "rank-bm25",
        *(
            f"{engine}, {name} stemmer"
            for name in ("english", "porter")
            for engine in ("ours", "bm25s")
        ),
    ]
    for row in rows:
        assert f"| {row['name']} | 300 |" in shown
        assert (row["disk_mb"] > 0) == (
            row["name"].partition(",")[0] in {"ours", "bm25s", "tantivy"}
        )


def answers(module: ModuleType, numbers: list[int], scores: list[float]) -> object:
    return module.Answers(np.array([numbers]), np.array([scores]))


@pytest.mark.parametrize(
    ("numbers", "scores", "same"),
    [
        ([1, 2, 3, 4], [3.0, 2.0, 2.0, 1.0], True),
        ([1, 3, 2, 4], [3.0, 2.0, 2.0, 1.0], True),
        ([1, 3, 2, 4], [3.00001, 2.0, 2.0, 1.0], True),
        ([2, 1, 3, 4], [2.0, 3.0, 2.0, 1.0], False),
        ([1, 2, 2, 4], [3.0, 2.0, 2.0, 1.0], False),
        ([1, 2, 3, 9], [3.0, 2.0, 2.0, 1.0], False),
        ([1, 2, 3, -1], [3.0, 2.0, 2.0, 0.0], False),
        ([1, 2, 3, 4], [3.0, 2.0, 2.0, 1.1], False),
    ],
)
def test_same_top_forgives_ties_alone(
    agreement: ModuleType, numbers: list[int], scores: list[float], same: bool
) -> None:
    exact = answers(agreement, [1, 2, 3, 4], [3.0, 2.0, 2.0, 1.0])
    result = agreement.compare(exact, answers(agreement, numbers, scores))
    assert result.top10 == float(same)


def test_compare_counts_identical_rankings_and_overlap(agreement: ModuleType) -> None:
    exact = answers(agreement, [5, 4, 3, 2], [4.0, 3.0, 2.0, 1.0])
    assert agreement.compare(exact, exact)[:5] == (1, 1.0, 1.0, 1.0, 1.0)
    half = answers(agreement, [5, 4, 8, 9], [4.0, 3.0, 2.0, 1.0])
    assert agreement.compare(exact, half)[:5] == (1, 0.0, 0.0, 0.5, 0.5)


@pytest.mark.slow
def test_a_synthetic_mimic_becomes_the_same_cohort_in_pandas(tmp_path: Path) -> None:
    for module in ("duckdb", "pyarrow", "pandas"):
        pytest.importorskip(module)
    command: list[str | Path] = [sys.executable, BENCHMARKS / "mimic.py", "--stays", "60"]
    command += ["--slice", "40", "--into", tmp_path / "made"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "both cohorts are equal, value by value" in shown.stdout
    assert shown.stdout.count("| PatientDx |") == 2
    assert shown.stdout.count("| pandas |") == 1
    assert list((tmp_path / "made").iterdir()) == []  # what was made is deleted
