"""The merge benchmark runs, and notices merges that differ."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from paths import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def models() -> ModuleType:
    spec = importlib.util.spec_from_file_location("merge_models", BENCHMARKS / "merge_models.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["merge_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_it_compares_and_prints_a_row_for_each_engine(tmp_path: Path) -> None:
    pytest.importorskip("mergekit")
    command: list[str | Path] = [
        sys.executable,
        BENCHMARKS / "merge.py",
        "--size",
        "tiny",
        "--rounds",
        "1",
    ]
    command += ["--methods", "slerp,task_arithmetic", "--mergekit-lambdas", "1"]
    command += ["--layers", "2", "--linked", "--folder", tmp_path]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    for title in ("PatientDx", "mergekit-yaml", "floor", "merge_state_dicts"):
        assert f"\n| {title}" in shown.stdout
    assert "of the numbers equal MergeKit's" in shown.stdout
    assert "task_arithmetic: 100.0000% of the numbers equal MergeKit's" in shown.stdout
    assert "hard links to the first's" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_merge_that_differs_is_noticed(tmp_path: Path, models: ModuleType) -> None:
    inputs = (tmp_path / "a", tmp_path / "b")
    for seed, folder in enumerate(inputs):
        models.write_model(folder, "tiny", seed)
    shutil.copytree(inputs[0], tmp_path / "same")
    assert models.compare(inputs[0], tmp_path / "same", inputs) == (1.0, 0.0)
    file = tmp_path / "same" / "model.safetensors"
    content = np.fromfile(file, np.uint16)
    content[-1] += 3
    content.tofile(file)
    agreement = models.compare(inputs[0], tmp_path / "same", inputs)
    assert agreement.equal < 1
    assert 1 < agreement.ulps < 3.1


def test_the_models_have_the_sizes_they_are_named_for(models: ModuleType) -> None:
    billions = {
        size: sum(slot.nbytes for slot in models.slots(size)) / 2e9 for size in models.SIZES
    }
    assert billions["1b"] == pytest.approx(1.1, abs=0.01)
    assert billions["8b"] == pytest.approx(8.03, abs=0.01)
