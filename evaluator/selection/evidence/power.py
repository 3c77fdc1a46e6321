"""How many patients would distinguish the choice from the merge that needs no search, λ = ½."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from evaluator.selection.candidates import Candidate
from evaluator.selection.nested_selection import Selection
from evaluator.statistics.power import PairedPower

# A standard error this small beside the difference is rounding: folds too small to show a spread.
_ROUNDING = 1e-9

CURVE_POINTS = 13
"""Points of the curve in data files; figures draw more."""


class PowerPoint(NamedTuple):
    """The power of a test on n patients."""

    n: int
    power: float


@dataclass(frozen=True)
class ChoicePower:
    """The power to distinguish the choices, held out, from the merge that needs no search.

    `paired` has the difference seen between them and its spread, both over folds; `n` is the
    number of patients (queries, texts) that it was seen on.
    """

    baseline: Candidate
    paired: PairedPower
    n: int

    @property
    def observed(self) -> float:
        """The power at the number of patients at hand, if the true difference is the one seen."""
        return self.paired.at(self.n)

    @property
    def needed(self) -> int | None:
        """The number of patients for a power of 80 %; None where no difference was seen."""
        return self.paired.needed()

    @property
    def detectable(self) -> float:
        """The least difference that the patients at hand show with a power of 80 %."""
        return self.paired.detectable(self.n)

    def curve(self, points: int = CURVE_POINTS) -> tuple[PowerPoint, ...]:
        """Power over the number of patients, from a tenth of those at hand to twice the needed."""
        low, high = max(2.0, self.n / 10), 2.0 * max(self.n, self.needed or 0)
        ratio = high / low
        numbers = [round(low * ratio ** (step / (points - 1))) for step in range(points)]
        return tuple(PowerPoint(n, self.paired.at(n)) for n in dict.fromkeys(numbers))


def choice_power(selection: Selection) -> ChoicePower | None:
    """The power of a selection against its first baseline that is no input.

    None without such a baseline, where the choices do not differ from it on any patient, and where
    the folds are too small for the difference to vary.
    """
    contrast = next((known for known in selection.contrasts if not known.is_input), None)
    error = None if contrast is None else contrast.difference.standard_error
    if contrast is None or not error or error <= _ROUNDING * abs(contrast.difference.value):
        return None
    spread = error * math.sqrt(selection.patients)
    paired = PairedPower(contrast.difference.value, spread, selection.resampling.level)
    return ChoicePower(contrast.baseline, paired, selection.patients)
