"""The search space of a strategy: the values that candidates are made of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from evaluator.retrieval.tuning import SettingValue
from evaluator.selection.candidates import LAMBDA, Candidate


class Range(NamedTuple):
    """Numbers from `low` to `high` in steps; fixed steps make stored scores reusable."""

    low: float = 0.0
    high: float = 1.0
    step: float = 0.05

    @property
    def size(self) -> int:
        """Number of values."""
        return 1 + round((self.high - self.low) / self.step)

    def value_at(self, share: float) -> float:
        """The value nearest to `share` of the way from `low` to `high`."""
        return round(self.low + round(share * (self.high - self.low) / self.step) * self.step, 10)


Axis = Range | tuple[SettingValue, ...]
"""The possible values of one name: numbers of a range, or a choice of several."""


@dataclass(frozen=True)
class SearchSpace:
    """The possible values by name, and candidates to try first; by default a single λ.

    Without `initial` candidates a search starts at both ends and the middle of every range.
    """

    axes: Mapping[str, Axis] = field(default_factory=lambda: {LAMBDA: Range()})
    initial: tuple[Candidate, ...] = ()

    @property
    def single_lambda(self) -> bool:
        """Whether a candidate of this space is a single λ."""
        return self.axes.keys() == {LAMBDA}

    @property
    def size(self) -> int:
        """Number of candidates in the space."""
        return math.prod(
            axis.size if isinstance(axis, Range) else len(axis) for axis in self.axes.values()
        )

    def initial_candidates(self) -> tuple[Candidate, ...]:
        """The candidates to try first."""
        return self.initial or tuple(
            dict.fromkeys(self._candidate_at(share) for share in (0.0, 1.0, 0.5))
        )

    def _candidate_at(self, share: float) -> Candidate:
        return Candidate.from_values(
            {
                name: axis.value_at(share) if isinstance(axis, Range) else axis[0]
                for name, axis in self.axes.items()
            }
        )
