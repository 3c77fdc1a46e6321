"""Figures by sex, age band and unit: where a model does worse than its mean tells."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics.discrimination import (
    auroc,
    average_precision,
    delong_interval,
    hard_auroc,
    hard_values,
)
from evaluator.statistics.intervals import Interval
from patientdx.errors import EvaluationError

from .predictions import Outcomes, Prediction

AGE_BANDS = ((0, 18), (18, 45), (45, 65), (65, 80), (80, 200))
"""From years, to below years."""

UNKNOWN = "unknown"


class Subgroup(NamedTuple):
    """A subgroup and its figures; None where they are undefined.

    The interval is DeLong's: stays of one patient count as independent here.
    """

    by: str
    level: str
    n: int
    deaths: int
    auroc: float | None
    interval: Interval | None
    auprc: float | None
    auroc_hard: float | None


def subgroups(
    prediction: Prediction, outcomes: Outcomes, confidence: float = 0.95
) -> list[Subgroup]:
    """A row a level of sex, age band and unit, in order; levels that nobody has are left out."""
    levels = {
        "sex": [one or UNKNOWN for one in outcomes.sex],
        "age": [age_band(float(one)) for one in outcomes.age],
        "unit": [one or UNKNOWN for one in outcomes.unit],
    }
    rows = []
    for by, of_stays in levels.items():
        arrays = np.array(of_stays)
        rows += [
            _row(by, level, arrays == level, prediction, outcomes, confidence)
            for level in _ordered(of_stays)
        ]
    return rows


def age_band(age: float) -> str:
    """The band of an age in years."""
    for low, high in AGE_BANDS:
        if low <= age < high:
            return f"{low}-{high - 1}" if high < 200 else f"{low}+"
    return UNKNOWN


def _ordered(levels: Sequence[str]) -> list[str]:
    """Each level once; what is unknown comes last."""
    return sorted(set(levels), key=lambda level: (level == UNKNOWN, level))


def _row(
    by: str,
    level: str,
    inside: npt.NDArray[np.bool_],
    prediction: Prediction,
    outcomes: Outcomes,
    confidence: float,
) -> Subgroup:
    died, odds = outcomes.died[inside], prediction.odds[inside]
    n, deaths = int(inside.sum()), int(died.sum())
    if deaths in {0, n}:
        return Subgroup(by, level, n, deaths, None, None, None, None)
    try:
        interval = delong_interval(died, odds, confidence)
    except EvaluationError:
        interval = None  # one death, or one survivor
    return Subgroup(
        by,
        level,
        n,
        deaths,
        auroc(died, odds),
        interval,
        average_precision(died, odds),
        hard_auroc(died, hard_values(prediction.answers)[inside]),
    )
