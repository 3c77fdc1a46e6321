"""How a cohort was made: its source, its settings, and which rows were dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class FlowStep(NamedTuple):
    """One line of the flow table, from all rows of a source down to those in the cohort.

    `of` is the kind of row ("stays", "chart events" ...), `left` the number that remains after
    the rule `step` dropped `dropped` rows.
    """

    of: str
    step: str
    dropped: int
    left: int


@dataclass(frozen=True)
class CohortMeta:
    """The metadata of a cohort file; its field names are the keys in the file and in JSON.

    `source` is the kind of data ("mimic-iv" ...), `settings` every constant of the cohort's
    definition, `notes` caveats for readers of its results, `version` the program that wrote it.
    """

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    flow: tuple[FlowStep, ...] = ()
    notes: tuple[str, ...] = ()
    redacted: bool = False
    version: str = ""
