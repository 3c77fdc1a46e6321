"""Launcher of the command line: `patientdx` and `python -m patientdx`."""

import sys
from pathlib import Path


def main() -> None:
    """Runs `cli.py`, which lies beside this file in a wheel and one level up in a checkout."""
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here if (here / "cli.py").exists() else here.parent))
    from cli import main as run

    run()


if __name__ == "__main__":
    main()
