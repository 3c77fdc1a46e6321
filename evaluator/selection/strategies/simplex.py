"""Weights of several models as values to search: one number for each model after the first.

λₖ is the share of the k-th model in a merge of the first k: with two models it is λ itself, and
λ₂ = ½, λ₃ = ⅓ give three models equal weights. So wₖ = λₖ Π (1 - λⱼ) over j > k, with λ₁ = 1: every
point of the simplex is reached, by n - 1 free numbers from 0 to 1. (Where a later model has all
of the weight, the numbers before it do not matter; and numbers drawn evenly do not spread evenly
over the simplex, but give later models more.)
"""

from collections.abc import Sequence
from typing import Any

from evaluator.retrieval.tuning import Setting
from evaluator.selection.candidates import LAMBDA, Candidate
from patientdx.errors import EvaluationError

from .optuna import Axis, Range

METHOD = "method"
"""The name of the value that is a method of merging."""


def simplex_space(inputs: int, methods: Sequence[str] = ()) -> dict[str, Axis]:
    """What may be searched of so many models; several methods are an axis of their own."""
    space: dict[str, Axis] = {name: Range() for name in _names(inputs)}
    return space | ({METHOD: tuple(methods)} if len(methods) > 1 else {})


def weights_of(candidate: Candidate, inputs: int) -> tuple[float, ...]:
    """One weight a model; they add up to 1. Raises EvaluationError for other candidates."""
    values: dict[str, Any] = dict(candidate.values)
    weights = [1.0]
    for name in _names(inputs):
        if name not in values:
            raise EvaluationError(f"a merge of {inputs} models needs the value `{name}`")
        weights = [*(weight * (1 - values[name]) for weight in weights), values[name]]
    return tuple(weights)


def alone(place: int, inputs: int, methods: Sequence[str] = ()) -> Candidate:
    """One model and nothing of the others."""
    shares = [float(number == place) for number in range(1, inputs)]
    return _candidate(shares, inputs, methods)


def alike(inputs: int, methods: Sequence[str] = ()) -> Candidate:
    """All models alike, as nearly as the steps of the search allow."""
    step = Range().step
    shares = [round(round(1 / number / step) * step, 10) for number in range(2, inputs + 1)]
    return _candidate(shares, inputs, methods)


def starts(inputs: int, methods: Sequence[str] = ()) -> tuple[Candidate, ...]:
    """What a search begins with: each model alone, and all alike."""
    ends = [alone(place, inputs, methods) for place in range(inputs)]
    return (*ends, alike(inputs, methods))


def _candidate(shares: Sequence[float], inputs: int, methods: Sequence[str]) -> Candidate:
    values: dict[str, Setting] = dict(zip(_names(inputs), shares, strict=True))
    return Candidate.of(values | ({METHOD: methods[0]} if len(methods) > 1 else {}))


def _names(inputs: int) -> list[str]:
    if inputs < 2:
        raise EvaluationError("a merge is of two models or more")
    return [LAMBDA] if inputs == 2 else [f"{LAMBDA}{number}" for number in range(2, inputs + 1)]
