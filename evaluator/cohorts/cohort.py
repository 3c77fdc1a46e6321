"""What a cohort is: stays with their six sections, and how they were chosen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SECTIONS = ("demographics", "diagnoses", "charts", "medications", "procedures", "outputs")
"""The sections of a record, in the order in which they are told."""


class Measured(NamedTuple):
    """A quantity of a stay: its mean over the window's bins; NaN where none was told."""

    name: str
    mean: float


class Bin(NamedTuple):
    """What was measured in one bin of the window.

    `chart` is the position of the quantity in the stay's own `charts`, `number` that of the bin
    (0 is the first), `value` the mean of what was measured in it (float32).
    """

    chart: int
    number: int
    value: float


@dataclass(frozen=True, repr=False)
class Stay:
    """One stay in intensive care; what is unknown is None or empty. It never prints itself.

    `age` is in years, `diagnosis_codes` and `diagnoses` (their titles) go together.
    """

    stay_id: str
    subject_id: str
    died: bool
    age: float | None = None
    sex: str | None = None
    unit: str | None = None
    race: str | None = None
    insurance: str | None = None
    diagnosis_codes: tuple[str, ...] = ()
    diagnoses: tuple[str, ...] = ()
    charts: tuple[Measured, ...] = ()
    medications: tuple[Measured, ...] = ()
    procedures: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    bins: tuple[Bin, ...] = ()


class FlowStep(NamedTuple):
    """One line of the way from all rows of a table to those that were used.

    `of` says what is counted ("stays", "chart events" ...), `left` how many remain after
    `dropped` were taken out by the rule that `step` names.
    """

    of: str
    step: str
    dropped: int
    left: int


@dataclass(frozen=True)
class CohortMeta:
    """How a cohort was made; it is kept in the file.

    `source` is the kind of data ("mimic-iv" ...), `settings` every constant of its definition,
    `notes` what a reader of its figures must know, `version` the program that wrote it.
    """

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    flow: tuple[FlowStep, ...] = ()
    notes: tuple[str, ...] = ()
    redacted: bool = False
    version: str = ""


@dataclass(frozen=True, repr=False, eq=False)
class Cohort:
    """A cohort file: what is short is held, stays are read as they are asked for.

    Arrays and tuples have one place a stay, in the order of the file; `age` is NaN where unknown.
    """

    path: Path
    meta: CohortMeta
    stay_ids: tuple[str, ...]
    subject_ids: tuple[str, ...]
    died: npt.NDArray[np.bool_]
    age: npt.NDArray[np.float64]
    sex: tuple[str | None, ...]
    unit: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.stay_ids)

    def __iter__(self) -> Iterator[Stay]:
        from .cohort_file import read_stays

        return read_stays(self.path)

    @property
    def deaths(self) -> int:
        """Number of stays that ended in death."""
        return int(self.died.sum())

    @property
    def one_class(self) -> bool:
        """True where all died or all lived, so that nothing can be told apart."""
        return self.deaths in {0, len(self)}
