"""Statistics of a cohort and of its records as text: the paper's table of its data."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import InputError

from .cohort import Cohort
from .sections import Templates, join_sections, render_stay

TokenCounter = Callable[[str], int]

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class CohortDescription:
    """Numbers of stays and deaths, and statistics of the records' text.

    `characters` and `tokens` are means per record, `counted_by` names the tokenizer; `digits`,
    `letters` and `spaces` are shares of all characters.
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


def describe_cohort(
    cohort: Cohort,
    sections: Sequence[str],
    *,
    templates: Templates,
    count_tokens: TokenCounter | None = None,
    counted_by: str = "words and marks",
) -> CohortDescription:
    """Reads every record once. Without `count_tokens`, words and single marks count as tokens."""
    totals = dict.fromkeys(("characters", "tokens", "digits", "letters", "spaces"), 0)
    for stay in cohort:
        text = join_sections(render_stay(stay, sections, templates=templates))
        totals["characters"] += len(text)
        totals["tokens"] += count_tokens(text) if count_tokens else len(_WORD.findall(text))
        totals["digits"] += sum(map(str.isdigit, text))
        totals["letters"] += sum(map(str.isalpha, text))
        totals["spaces"] += sum(map(str.isspace, text))
    size, characters = max(1, len(cohort)), max(1, totals["characters"])
    return CohortDescription(
        sections=tuple(sections),
        stays=len(cohort),
        subjects=len(set(cohort.subject_ids)),
        deaths=cohort.deaths,
        characters=totals["characters"] / size,
        tokens=totals["tokens"] / size,
        counted_by=counted_by,
        **{name: totals[name] / characters for name in ("digits", "letters", "spaces")},
    )


def load_token_counter(path: Path) -> TokenCounter:
    """A function that counts tokens by a `tokenizer.json`. Raises InputError for another file."""
    require_package("tokenizers", "hf")
    from tokenizers import Tokenizer

    try:
        text = path.read_text(encoding="utf-8")
        usable = "model" in json.loads(text)
    except (OSError, ValueError, TypeError):
        usable, text = False, ""
    if not usable:
        raise InputError(f"{path}: this is no tokenizer.json")
    tokenizer: Any = Tokenizer.from_str(text)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
