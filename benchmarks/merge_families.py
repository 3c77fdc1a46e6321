"""What of merging works for which family of models, as a Markdown table.

    python benchmarks/merge_families.py
    python benchmarks/merge_families.py --family mixtral --family llava

Small models of random weights of every family that MergeKit and transformers both know are merged:
by the streaming engine, live, with a LoRA, with moved layers. Every output is loaded by
transformers and compared with what MergeKit or PEFT makes. The status is 1 if a merge that was
reported as done is damaged.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from family_checks import COLUMNS, Cell, FamilyChecks
from tiny_families import FAMILIES


def main() -> None:
    """Prints a row for each family as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", action="append", choices=[*FAMILIES])
    options = parser.parse_args()
    silence()
    print(line("family", *COLUMNS), line(*["---"] * (len(COLUMNS) + 1)), sep="\n", flush=True)
    broken: list[str] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for family in options.family or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            row = FamilyChecks(family, Path(folder)).row()
        print(line(f"`{family}`", *map(text, row.values())), flush=True)
        broken += [family for cell in row.values() if cell.broken]
        for column, cell in row.items():
            if cell.reason:
                reasons.setdefault((column, cell.reason), []).append(f"`{family}`")
    print()
    for (column, reason), families in reasons.items():
        print(f"* {column} of {', '.join(families)}: {reason}.")
    sys.exit(f"broken: {', '.join(dict.fromkeys(broken))}" if broken else 0)


def line(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def text(cell: Cell) -> str:
    """A cell's text; what is broken stands out."""
    return f"**{cell.text}**" if cell.broken else cell.text


def silence() -> None:
    """Suppresses the advice and bars of transformers and MergeKit."""
    from transformers.utils import logging as of_transformers

    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    main()
