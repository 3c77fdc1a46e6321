"""The benchmark of hospital folders runs on a small scale and passes its own checks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


@pytest.mark.slow
def test_each_source_has_a_row(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "hospital.py"]
    command += ["--size", "60", "--queries", "5", "--folder", tmp_path]
    command += ["--json", tmp_path / "figures.json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [(row["notes"], row["patients"]) for row in rows.values()] == [(60, 60), *[(60, 18)] * 3]
    for name in rows:
        assert f"\n| {name} | 60 |" in shown.stdout
