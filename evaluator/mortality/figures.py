"""The figures of one model on one set of stays, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics import calibration
from evaluator.statistics.bootstrap import (
    Resampling,
    Statistic,
    balanced_accuracy,
    percentiles,
    resampled,
    weighted_mean,
)
from evaluator.statistics.discrimination import (
    Floats,
    Ordered,
    delong_interval,
    hard_auroc,
    hard_values,
)
from evaluator.statistics.intervals import Interval
from patientdx.errors import EvaluationError

from .predictions import Outcomes, Prediction

HEADLINES = ("auroc-hard", "auprc", "auroc")
"""The figures of the main table: two of the paper's, and the AUROC of P(yes)."""


class Figure(NamedTuple):
    """A figure, with the interval of a bootstrap by patient or, where there is none, of Wald."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Figures:
    """All figures by name; one that is undefined on these stays is missing.

    `draws` holds what each resample of the bootstrap gave, the same resamples for every model
    on the same patients.
    """

    n: int
    deaths: int
    patients: int
    values: Mapping[str, Figure]
    delong: Interval | None = None
    draws: Mapping[str, Floats] = field(default_factory=dict)


def figures(
    prediction: Prediction, outcomes: Outcomes, settings: Resampling | None = None
) -> Figures:
    """Everything that can be said of a prediction; where all died or all lived, that is little."""
    settings = settings or Resampling()
    died, chances = outcomes.died, prediction.probability
    statistics: dict[str, Statistic] = {"brier": weighted_mean((chances - died) ** 2)}
    points = {"brier": calibration.brier(died, chances)}
    if not outcomes.one_class:
        ordered = Ordered.of(died, prediction.odds)
        answers = hard_values(prediction.answers)
        statistics |= {
            "auroc-hard": balanced_accuracy(died, answers),
            "auprc": ordered.average_precision,
            "auroc": ordered.auroc,
        }
        points |= {
            "auroc-hard": hard_auroc(died, answers),
            "auprc": float(ordered.average_precision()),
            "auroc": float(ordered.auroc()),
        }
    draws = resampled(outcomes.patients, statistics, settings)
    values = {
        name: Figure(points[name], percentiles(draws[name], settings.level)) for name in statistics
    }
    return Figures(
        n=len(outcomes),
        deaths=outcomes.deaths,
        patients=len(set(outcomes.patients)),
        values=values | _calibrated(prediction, outcomes),
        delong=_delong(died, prediction.odds, settings.level),
        draws=draws,
    )


def average(of: Sequence[Figures], name: str, level: float) -> Figure | None:
    """The mean of a figure over tasks on the same patients, its interval from shared resamples."""
    if not all(name in one.values for one in of):
        return None
    value = float(np.mean([one.values[name].value for one in of]))
    return Figure(value, percentiles(np.mean([one.draws[name] for one in of], axis=0), level))


def _calibrated(prediction: Prediction, outcomes: Outcomes) -> dict[str, Figure]:
    died, chances = outcomes.died, prediction.probability
    found = {"ece": Figure(calibration.expected_calibration_error(died, chances), None)}
    if outcomes.one_class:
        return found
    found["scaled-brier"] = Figure(calibration.scaled_brier(died, chances), None)
    fitted = calibration.recalibration(died, chances)
    for name, one in zip(("intercept", "slope", "in-the-large"), fitted, strict=True):
        if one is not None:
            found[name] = Figure(one.value, one.interval)
    return found


def _delong(died: npt.NDArray[np.bool_], odds: Floats, level: float) -> Interval | None:
    try:
        return delong_interval(died, odds, level)
    except EvaluationError:
        return None  # fewer than two deaths, or than two survivors
