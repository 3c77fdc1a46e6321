"""The wheel of this checkout, built and installed for tests."""

import os
import subprocess
import sys
from pathlib import Path


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    outcome = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def environment(installed: Path, place: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(installed), "PATIENTDX_CACHE": str(place / "cache")}
