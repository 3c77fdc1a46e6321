"""Factors of differences from a base as search values: one λ for all models, or one for each.

λ = 0 is the base. λ = 1 adds the whole difference, which of a single model gives the model itself,
but for rounding. The factors are free of each other and need not add up to 1.
"""

from typing import Any

from evaluator.selection.candidates import LAMBDA, Candidate
from patientdx.errors import EvaluationError

from .search_space import Range, SearchSpace


def delta_search_space(model_count: int, highest: float = 1.0, *, shared: bool) -> SearchSpace:
    """The factors of differences from a base: one `shared` by all models, or one for each."""
    names = [LAMBDA] if shared or model_count == 1 else delta_names(model_count)
    starts = delta_baselines(model_count, shared=shared)
    searched = [start for start in starts if {name for name, _ in start.values} == set(names)]
    return SearchSpace({name: Range(high=highest) for name in names}, tuple(searched))


def delta_baselines(model_count: int, *, shared: bool) -> tuple[Candidate, ...]:
    """The base, each model alone (all of its difference), and half of every difference."""
    if model_count == 1:
        return tuple(Candidate.at_lambda(weight) for weight in (0, 1, 0.5))
    names = delta_names(model_count)
    alone = [{name: float(name == own) for name in names} for own in names]
    ends = [dict.fromkeys([LAMBDA] if shared else names, weight) for weight in (0.0, 0.5)]
    return tuple(Candidate.from_values(values) for values in (ends[0], *alone, ends[1]))


def delta_weights(candidate: Candidate, model_count: int) -> tuple[float, ...]:
    """The factor of each model's difference. Raises EvaluationError for other candidates."""
    values: dict[str, Any] = dict(candidate.values)
    names = [LAMBDA] * model_count if LAMBDA in values else delta_names(model_count)
    if not values.keys() >= set(names):
        raise EvaluationError(f"a merge of {model_count} models needs `{LAMBDA}`, or one for each")
    return tuple(float(values[name]) for name in names)


def delta_names(model_count: int) -> list[str]:
    """The value names of factors, one for each model that is not the base."""
    return [f"{LAMBDA}{number}" for number in range(1, model_count + 1)]
