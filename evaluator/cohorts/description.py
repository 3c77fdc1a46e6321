"""What the records of a cohort look like: the paper's table of its data."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patientdx.capabilities import require
from patientdx.errors import InputError

from .cohort import Cohort
from .sections import Templates, record, render

TokenCounter = Callable[[str], int]

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Description:
    """Counts of a cohort, and of the characters of its records.

    `tokens` is a mean a stay, by what `counted_by` names; shares are of all characters.
    """

    sections: tuple[str, ...]
    stays: int
    subjects: int
    deaths: int
    characters: float
    tokens: float
    counted_by: str
    digits: float
    letters: float
    spaces: float

    @property
    def prevalence(self) -> float:
        """Share of deaths."""
        return self.deaths / self.stays if self.stays else 0.0


def describe(
    cohort: Cohort,
    sections: Sequence[str],
    *,
    templates: Templates,
    count: TokenCounter | None = None,
    counted_by: str = "words and marks",
) -> Description:
    """Reads every record once. Tokens are words and single marks where `count` is not given."""
    totals = dict.fromkeys(("characters", "tokens", "digits", "letters", "spaces"), 0)
    for stay in cohort:
        text = record(render(stay, sections, templates=templates))
        totals["characters"] += len(text)
        totals["tokens"] += count(text) if count else len(_WORD.findall(text))
        totals["digits"] += sum(map(str.isdigit, text))
        totals["letters"] += sum(map(str.isalpha, text))
        totals["spaces"] += sum(map(str.isspace, text))
    size, characters = max(1, len(cohort)), max(1, totals["characters"])
    return Description(
        sections=tuple(sections),
        stays=len(cohort),
        subjects=len(set(cohort.subject_ids)),
        deaths=cohort.deaths,
        characters=totals["characters"] / size,
        tokens=totals["tokens"] / size,
        counted_by=counted_by,
        **{name: totals[name] / characters for name in ("digits", "letters", "spaces")},
    )


def token_counter(path: Path) -> TokenCounter:
    """Counts tokens by a `tokenizer.json`. Raises InputError where it is none."""
    require("tokenizers", "hf")
    from tokenizers import Tokenizer

    try:
        text = path.read_text(encoding="utf-8")
        usable = "model" in json.loads(text)
    except (OSError, ValueError, TypeError):
        usable, text = False, ""
    if not usable:
        raise InputError(f"{path}: this is no tokenizer.json")
    loaded: Any = Tokenizer.from_str(text)
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
