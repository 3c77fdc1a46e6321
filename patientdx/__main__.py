"""Launcher of the command line: `patientdx` and `python -m patientdx`."""

import sys
from pathlib import Path


def main() -> None:
    """Runs `cli.py`, which lies beside this file in a wheel and one level up in a checkout."""
    here = Path(__file__).resolve().parent
    if not (here / "cli.py").exists():
        sys.path.insert(0, str(here.parent))
    from cli import main as run  # `patientdx.cli` in a wheel: see hatch_build.py

    run()


if __name__ == "__main__":
    main()
