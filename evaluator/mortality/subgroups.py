"""Metrics by sex, age band and unit, which show where a model does worse than on average."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics.discrimination import (
    answer_values,
    auroc,
    average_precision,
    delong_interval,
    hard_auroc,
)
from evaluator.statistics.intervals import Interval
from patientdx.errors import EvaluationError

from .predictions import Outcomes, Prediction

AGE_BANDS = ((0, 18), (18, 45), (45, 65), (65, 80), (80, 200))
"""Lower bound in years, and upper bound, which is not included."""

UNKNOWN = "unknown"


class Subgroup(NamedTuple):
    """A subgroup and its metrics, None where undefined; its field names are keys of the report.

    `by` is the trait, `level` its value. The interval of `auroc` is DeLong's, in which stays of
    the same patient count as independent.
    """

    by: str
    level: str
    n: int
    deaths: int
    auroc: float | None
    interval: Interval | None
    auprc: float | None
    auroc_hard: float | None


def evaluate_subgroups(
    prediction: Prediction, outcomes: Outcomes, confidence: float = 0.95
) -> list[Subgroup]:
    """A row for each level of sex, age band and unit that any stay has, in order."""
    levels = {
        "sex": [sex or UNKNOWN for sex in outcomes.sex],
        "age": [age_band(float(age)) for age in outcomes.age],
        "unit": [unit or UNKNOWN for unit in outcomes.unit],
    }
    rows = []
    for trait, level_of_stay in levels.items():
        array = np.array(level_of_stay)
        rows += [
            _evaluate_level(trait, level, array == level, prediction, outcomes, confidence)
            for level in _sort_levels(level_of_stay)
        ]
    return rows


def age_band(age: float) -> str:
    """The band of an age in years."""
    for low, high in AGE_BANDS:
        if low <= age < high:
            return f"{low}-{high - 1}" if high < 200 else f"{low}+"
    return UNKNOWN


def _sort_levels(levels: Sequence[str]) -> list[str]:
    """Each level once, `UNKNOWN` last."""
    return sorted(set(levels), key=lambda level: (level == UNKNOWN, level))


def _evaluate_level(
    trait: str,
    level: str,
    inside: npt.NDArray[np.bool_],
    prediction: Prediction,
    outcomes: Outcomes,
    confidence: float,
) -> Subgroup:
    died, odds = outcomes.died[inside], prediction.log_odds[inside]
    n, deaths = int(inside.sum()), int(died.sum())
    if deaths in {0, n}:
        return Subgroup(trait, level, n, deaths, None, None, None, None)
    try:
        interval = delong_interval(died, odds, confidence)
    except EvaluationError:
        interval = None  # one death, or one survivor
    return Subgroup(
        trait,
        level,
        n,
        deaths,
        auroc(died, odds),
        interval,
        average_precision(died, odds),
        hard_auroc(died, answer_values(prediction.answers)[inside]),
    )
