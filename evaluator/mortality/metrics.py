"""The metrics of mortality prediction, each with its interval: one table for the whole report.

To add a metric, add a row to `METRICS`. Its values, bootstrap intervals, JSON entry, table and
(for a headline metric) its average over tasks and its contrasts follow from the row. Subgroups
have three fixed columns, because their JSON keys are the fields of `Subgroup`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics import calibration
from evaluator.statistics.bootstrap import (
    Resampling,
    Statistic,
    balanced_accuracy,
    percentile_interval,
    resample_statistics,
    weighted_mean,
)
from evaluator.statistics.discrimination import (
    Floats,
    RankedLabels,
    answer_values,
    delong_interval,
    hard_auroc,
)
from evaluator.statistics.intervals import Interval
from patientdx.errors import EvaluationError

from .predictions import Outcomes, Prediction


class MetricValue(NamedTuple):
    """The value of a metric and its interval, None where there is no interval."""

    value: float
    interval: Interval | None = None


class MetricInputs:
    """The outcomes and one prediction of them, with intermediate results that metrics share."""

    def __init__(self, outcomes: Outcomes, prediction: Prediction) -> None:
        self.died = outcomes.died
        self.probability = prediction.probability
        self._prediction = prediction

    @cached_property
    def hard_answers(self) -> Floats:
        """Yes, no and unreadable answers as 1, 0 and 1/2."""
        return answer_values(self._prediction.answers)

    @cached_property
    def ranking(self) -> RankedLabels:
        """The stays in the order of their log-odds."""
        return RankedLabels.from_scores(self.died, self._prediction.log_odds)

    @cached_property
    def recalibration(self) -> calibration.Recalibration:
        """The logistic recalibration."""
        return calibration.fit_recalibration(self.died, self.probability)


@dataclass(frozen=True)
class MortalityMetric:
    """A metric of the report.

    `name` is its key in JSON and its column in tables. `compute` returns None where the metric is
    undefined. With a `statistic`, the interval is the percentile bootstrap by patient; without, it
    is the one that `compute` returns. A metric that needs both outcomes is left out where all died
    or all lived.

    A metric of the `table` "headline" has its own table with the title `title`, whose note ends in
    `note`; those of "calibration" share a table, in the order of `column`. The attribute of
    `PublishedResult` with the paper's value is named by `published`.
    """

    name: str
    compute: Callable[[MetricInputs], MetricValue | None]
    table: Literal["headline", "calibration"]
    statistic: Callable[[MetricInputs], Statistic] | None = None
    needs_both_outcomes: bool = True
    title: str = ""
    note: str = ""
    column: int = 0
    published: Literal["auroc_hard", "auprc"] | None = None


METRICS = (
    MortalityMetric(
        "brier",
        lambda inputs: MetricValue(calibration.brier_score(inputs.died, inputs.probability)),
        "calibration",
        statistic=lambda inputs: weighted_mean((inputs.probability - inputs.died) ** 2),
        needs_both_outcomes=False,
        column=0,
    ),
    MortalityMetric(
        "auroc-hard",
        lambda inputs: MetricValue(hard_auroc(inputs.died, inputs.hard_answers)),
        "headline",
        statistic=lambda inputs: balanced_accuracy(inputs.died, inputs.hard_answers),
        title="auroc-hard: equals balanced accuracy (the paper's AUROC)",
        published="auroc_hard",
    ),
    MortalityMetric(
        "auprc",
        lambda inputs: MetricValue(float(inputs.ranking.average_precision())),
        "headline",
        statistic=lambda inputs: inputs.ranking.average_precision,
        title="auprc: average precision of P(yes) (the paper's AUPRC)",
        note="A model that knows nothing gets the prevalence.",
        published="auprc",
    ),
    MortalityMetric(
        "auroc",
        lambda inputs: MetricValue(float(inputs.ranking.auroc())),
        "headline",
        statistic=lambda inputs: inputs.ranking.auroc,
        title="auroc: of the probabilities P(yes)",
    ),
    MortalityMetric(
        "ece",
        lambda inputs: MetricValue(
            calibration.expected_calibration_error(inputs.died, inputs.probability)
        ),
        "calibration",
        needs_both_outcomes=False,
        column=2,
    ),
    MortalityMetric(
        "scaled-brier",
        lambda inputs: MetricValue(calibration.scaled_brier_score(inputs.died, inputs.probability)),
        "calibration",
        column=1,
    ),
    MortalityMetric(
        "intercept",
        lambda inputs: _from_estimate(inputs.recalibration.intercept),
        "calibration",
        column=3,
    ),
    MortalityMetric(
        "slope", lambda inputs: _from_estimate(inputs.recalibration.slope), "calibration", column=4
    ),
    MortalityMetric(
        "in-the-large",
        lambda inputs: _from_estimate(inputs.recalibration.in_the_large),
        "calibration",
        column=5,
    ),
)
"""All metrics, in the order of the JSON report."""

HEADLINE_METRICS = tuple(metric for metric in METRICS if metric.table == "headline")
"""The metrics of the main tables: the paper's two, and the AUROC of P(yes)."""

CALIBRATION_METRICS = tuple(
    sorted(
        (metric for metric in METRICS if metric.table == "calibration"),
        key=lambda metric: metric.column,
    )
)


@dataclass(frozen=True)
class ModelMetrics:
    """All metrics of one model on one set of stays, by name; undefined ones are missing.

    `draws` holds the value of each metric in each bootstrap resample; the resamples are the same
    for every model on the same patients. `delong` is DeLong's interval of the AUROC.
    """

    n: int
    deaths: int
    patients: int
    values: Mapping[str, MetricValue]
    delong: Interval | None = None
    draws: Mapping[str, Floats] = field(default_factory=dict)


def compute_metrics(
    prediction: Prediction, outcomes: Outcomes, resampling: Resampling | None = None
) -> ModelMetrics:
    """All metrics of a prediction that are defined on these stays."""
    resampling = resampling or Resampling()
    inputs = MetricInputs(outcomes, prediction)
    defined = [
        metric for metric in METRICS if not (metric.needs_both_outcomes and outcomes.one_class)
    ]
    statistics = {
        metric.name: metric.statistic(inputs) for metric in defined if metric.statistic is not None
    }
    draws = resample_statistics(outcomes.patients, statistics, resampling)
    values = {}
    for metric in defined:
        value = metric.compute(inputs)
        if value is not None and metric.name in draws:
            value = value._replace(
                interval=percentile_interval(draws[metric.name], resampling.level)
            )
        if value is not None:
            values[metric.name] = value
    return ModelMetrics(
        n=len(outcomes),
        deaths=outcomes.deaths,
        patients=len(set(outcomes.patients)),
        values=values,
        delong=_delong_interval(outcomes.died, prediction.log_odds, resampling.level),
        draws=draws,
    )


def average_over_tasks(
    metrics: Sequence[ModelMetrics], name: str, level: float
) -> MetricValue | None:
    """The mean of a metric over tasks on the same patients; its interval is of shared resamples."""
    if not all(name in task.values for task in metrics):
        return None
    value = float(np.mean([task.values[name].value for task in metrics]))
    draws = np.mean([task.draws[name] for task in metrics], axis=0)
    return MetricValue(value, percentile_interval(draws, level))


def _from_estimate(estimate: calibration.Coefficient | None) -> MetricValue | None:
    return None if estimate is None else MetricValue(estimate.value, estimate.interval)


def _delong_interval(died: npt.NDArray[np.bool_], odds: Floats, level: float) -> Interval | None:
    try:
        return delong_interval(died, odds, level)
    except EvaluationError:
        return None  # fewer than two deaths, or than two survivors
