"""The benchmark of the λ search runs, and notices ways that differ."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from paths import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("mergekit")

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def tune() -> ModuleType:
    modules = []
    for name in ("measure", "agreement", "rows", "tables", "tune_models", "tune"):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        modules.append(module)
    return modules[-1]


@pytest.mark.slow
def test_it_compares_and_prints_a_row_for_each_way(tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "tune.py", "--size", "tiny", "--stays", "4"]
    command += ["--dtype", "float32", "--threads", "1", "--folder", tmp_path]
    shown = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert "log-odds differ by" in shown.stdout
    assert "\n| PatientDx, live |" in shown.stdout
    assert "\n| MergeKit, transformers |" in shown.stdout
    assert "swap of λ: median" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_ways_that_differ_are_noticed(tune: ModuleType) -> None:
    rows = np.random.default_rng(0).normal(size=(11, 6)).tolist()
    died = np.arange(6) % 2 == 0

    def runs(other: list[list[float]]) -> dict[str, list[dict[str, object]]]:
        sides = {"ours": rows, "written": other}
        return {name: [{"rows": [{"odds": odds} for odds in of]}] for name, of in sides.items()}

    assert "differ by 0 at most" in tune.compared(runs(rows), died, 0.01)
    inner = [list(odds) for odds in rows]
    inner[5][2] += 0.02
    with pytest.raises(SystemExit, match="the two ways differ"):
        tune.compared(runs(inner), died, 0.01)
    assert "(0 at both ends)" in tune.compared(runs(inner), died, 0.03)
    end = [list(odds) for odds in rows]
    end[10][0] += 1e-6
    with pytest.raises(SystemExit):
        tune.compared(runs(end), died, 0.03)
