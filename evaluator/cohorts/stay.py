"""A stay in intensive care, its measurements, and the sections of its record."""

from dataclasses import dataclass
from typing import NamedTuple

SECTIONS = ("demographics", "diagnoses", "charts", "medications", "procedures", "outputs")
"""The sections of a record, in the order in which they are written."""


class Measurement(NamedTuple):
    """A chart quantity or a medication of a stay: its mean over the window's bins, or NaN.

    NaN stands for an event without a number.
    """

    name: str
    mean: float


class Bin(NamedTuple):
    """The value of one quantity in one bin of the window.

    `chart` is the position of the quantity in the stay's own `charts`, `number` that of the bin
    (0 is the first), `value` the mean of the measurements in it (float32).
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
    charts: tuple[Measurement, ...] = ()
    medications: tuple[Measurement, ...] = ()
    procedures: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    bins: tuple[Bin, ...] = ()
