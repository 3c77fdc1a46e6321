"""The tour of the public API, docs/examples/whole_tour.py, in an installed wheel."""

from pathlib import Path

import pytest
from paths import ROOT
from wheels import environment, run

SCRIPT = ROOT / "docs" / "examples" / "whole_tour.py"

pytestmark = pytest.mark.slow


def test_the_tour_is_short_and_imports_only_the_public_api() -> None:
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 30
    imports = [line for line in lines if line.startswith(("import", "from"))]
    assert imports == ["import sys", "from pathlib import Path", "import patientdx as pdx"]


def test_the_tour_runs_in_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    for package in ("torch", "transformers", "duckdb", "pyarrow", "sklearn"):
        pytest.importorskip(package)
    from live_merges import siblings
    from small_cohorts import physionet_stays

    math_model, medical_model = siblings(tmp_path, 2)
    icu_folder = physionet_stays(tmp_path / "icu", 24)
    printed = run(
        *(SCRIPT, math_model, medical_model, icu_folder),
        cwd=tmp_path,
        env=environment(installed, tmp_path),
    )
    topics = [line.partition(":")[0] for line in printed.splitlines()]
    assert topics == ["search", "evaluate", "merge", "mortality", "λ"]
    assert "every byte as merged" in printed
    assert "24 stays 8 deaths" in printed
    assert (tmp_path / "tour-merge" / "model.safetensors").exists()
