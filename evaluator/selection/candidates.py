"""Merges to try: one λ, or named values such as a λ for each group of layers."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluator.retrieval.tuning import Setting
from patientdx.errors import EvaluationError

LAMBDA = "lambda"
"""The name of the value of a candidate that has one λ only."""

_DIGITS = 10
"""Decimals kept of a λ, so that 3 * 0.1 is 0.3."""


@dataclass(frozen=True)
class Candidate:
    """Names and values, sorted by name; `Candidate.at(0.4)` is one λ. Hashable."""

    values: tuple[tuple[str, Setting], ...]

    @classmethod
    def at(cls, weight: float) -> "Candidate":
        """One λ, from 0 (the first input) to 1. Raises EvaluationError for another."""
        if not 0 <= weight <= 1:
            raise EvaluationError(f"λ lies between 0 and 1, not at {weight}")
        return cls.of({LAMBDA: round(float(weight), _DIGITS)})

    @classmethod
    def of(cls, values: Mapping[str, Setting]) -> "Candidate":
        """Raises EvaluationError for no value, and for numbers that are not finite."""
        if not values:
            raise EvaluationError("a candidate has one value or more")
        if any(isinstance(one, float) and not math.isfinite(one) for one in values.values()):
            raise EvaluationError("the values of a candidate are finite")
        return cls(tuple(sorted(values.items())))

    @property
    def weight(self) -> float | None:
        """Its λ; None where it is made of other values."""
        found = dict(self.values)
        return float(found[LAMBDA]) if found.keys() == {LAMBDA} else None

    @property
    def key(self) -> str:
        """Its name in stored files: the values as JSON."""
        return json.dumps(dict(self.values), sort_keys=True)

    def __str__(self) -> str:
        if self.weight is not None:
            return f"{self.weight:g}"
        return ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.values
        )


def steps(step: float = 0.1) -> tuple[Candidate, ...]:
    """λ = 0, `step`, 2 `step` ... 1 (the paper: 0.1). Raises EvaluationError if that misses 1."""
    number = round(1 / step) if 0 < step <= 1 else 0
    if not number or abs(number * step - 1) > 1e-9:
        raise EvaluationError(f"a step of λ divides 1, which {step} does not")
    return tuple(Candidate.at(place / number) for place in range(number + 1))


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates, in order. Raises EvaluationError for fewer than two, and for a double."""
    found = tuple(candidates)
    if len(set(found)) < len(found):
        raise EvaluationError("a candidate is given twice")
    if len(found) < 2:
        raise EvaluationError("a search needs two candidates or more")
    return found
