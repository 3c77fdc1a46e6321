"""Merge candidates: a single λ, or named values such as one λ for each group of layers."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluator.retrieval.tuning import SettingValue
from patientdx.errors import EvaluationError

LAMBDA = "lambda"
"""The value name of a candidate that has a single λ."""

_DIGITS = 10
"""Decimals kept of a λ, so that 3 * 0.1 is 0.3."""


@dataclass(frozen=True)
class Candidate:
    """Names and values, sorted by name; `Candidate.at_lambda(0.4)` is a single λ. Hashable."""

    values: tuple[tuple[str, SettingValue], ...]

    @classmethod
    def at_lambda(cls, weight: float) -> "Candidate":
        """A single λ, from 0 (the first input) to 1. Raises EvaluationError outside this range."""
        if not 0 <= weight <= 1:
            raise EvaluationError(f"λ lies between 0 and 1, not at {weight}")
        return cls.from_values({LAMBDA: round(float(weight), _DIGITS)})

    @classmethod
    def from_values(cls, values: Mapping[str, SettingValue]) -> "Candidate":
        """A candidate of named values. Raises EvaluationError for none, and for NaN or infinity."""
        if not values:
            raise EvaluationError("a candidate has one value or more")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values.values()):
            raise EvaluationError("the values of a candidate are finite")
        return cls(tuple(sorted(values.items())))

    @property
    def weight(self) -> float | None:
        """The λ of a candidate with a single λ, else None."""
        values = dict(self.values)
        return float(values[LAMBDA]) if values.keys() == {LAMBDA} else None

    @property
    def key(self) -> str:
        """The candidate's name in stored files: its values as JSON."""
        return json.dumps(dict(self.values), sort_keys=True)

    def __str__(self) -> str:
        if self.weight is not None:
            return f"{self.weight:g}"
        return ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.values
        )


def lambda_grid(step: float = 0.1, highest: float = 1.0) -> tuple[Candidate, ...]:
    """λ = 0, `step`, 2 `step` ... 1 (the paper: 0.1), or up to another `highest` λ.

    Raises EvaluationError if that misses 1 or the highest λ.
    """
    number = round(1 / step) if 0 < step <= 1 else 0
    if not number or abs(number * step - 1) > 1e-9:
        raise EvaluationError(f"a step of λ divides 1, which {step} does not")
    last = round(highest * number)
    if last < 1 or abs(last / number - highest) > 1e-9:
        raise EvaluationError(f"a step of λ divides the highest λ, {highest:g}: {step} does not")
    values = (round(index / number, _DIGITS) for index in range(last + 1))
    return tuple(Candidate.from_values({LAMBDA: value}) for value in values)


def require_distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates in order. Raises EvaluationError for fewer than two and for duplicates."""
    checked = tuple(candidates)
    if len(set(checked)) < len(checked):
        raise EvaluationError("a candidate is listed twice")
    if len(checked) < 2:
        raise EvaluationError("a search needs two candidates or more")
    return checked
