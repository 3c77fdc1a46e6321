"""Weights of several models as search values: one number for each model after the first.

λₖ is the share of the k-th model in a merge of the first k: with two models it is λ itself, and
λ₂ = ½, λ₃ = ⅓ give three models equal weights. So wₖ = λₖ Π (1 - λⱼ) over j > k, with λ₁ = 1: every
point of the simplex is reached, by n - 1 free numbers from 0 to 1. (Where a later model has all
of the weight, the numbers before it do not matter; and numbers drawn evenly do not spread evenly
over the simplex, but give later models more.)
"""

from collections.abc import Sequence
from typing import Any

from evaluator.retrieval.tuning import SettingValue
from evaluator.selection.candidates import LAMBDA, Candidate
from patientdx.errors import EvaluationError

from .search_space import Axis, Range, SearchSpace

METHOD = "method"
"""The value name of the merge method."""


def weight_search_space(model_count: int, methods: Sequence[str] = ()) -> SearchSpace:
    """The weights of several models, with the method as an axis if there are several."""
    axes: dict[str, Axis] = {name: Range() for name in _value_names(model_count)}
    if len(methods) > 1:
        axes[METHOD] = tuple(methods)
    return SearchSpace(axes, starting_candidates(model_count, methods))


def model_weights(candidate: Candidate, model_count: int) -> tuple[float, ...]:
    """The weight of each model; they add up to 1. Raises EvaluationError for other candidates."""
    values: dict[str, Any] = dict(candidate.values)
    weights = [1.0]
    for name in _value_names(model_count):
        if name not in values:
            raise EvaluationError(f"a merge of {model_count} models needs the value `{name}`")
        weights = [*(weight * (1 - values[name]) for weight in weights), values[name]]
    return tuple(weights)


def single_model_candidate(index: int, model_count: int, methods: Sequence[str] = ()) -> Candidate:
    """All weight on the model at `index`."""
    shares = [float(number == index) for number in range(1, model_count)]
    return _candidate(shares, model_count, methods)


def equal_weights_candidate(model_count: int, methods: Sequence[str] = ()) -> Candidate:
    """Equal weights of all models, as nearly as the steps of the search allow."""
    step = Range().step
    shares = [round(round(1 / number / step) * step, 10) for number in range(2, model_count + 1)]
    return _candidate(shares, model_count, methods)


def starting_candidates(model_count: int, methods: Sequence[str] = ()) -> tuple[Candidate, ...]:
    """Each model alone, and all with equal weights."""
    single = [single_model_candidate(index, model_count, methods) for index in range(model_count)]
    return (*single, equal_weights_candidate(model_count, methods))


def _candidate(shares: Sequence[float], model_count: int, methods: Sequence[str]) -> Candidate:
    values: dict[str, SettingValue] = dict(zip(_value_names(model_count), shares, strict=True))
    if len(methods) > 1:
        values[METHOD] = methods[0]
    return Candidate.from_values(values)


def _value_names(model_count: int) -> list[str]:
    if model_count < 2:
        raise EvaluationError("a merge is of two models or more")
    if model_count == 2:
        return [LAMBDA]
    return [f"{LAMBDA}{number}" for number in range(2, model_count + 1)]
