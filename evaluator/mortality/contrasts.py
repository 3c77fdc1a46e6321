"""Paired comparisons of models with a baseline model on the same stays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from evaluator.statistics.bootstrap import percentile_interval
from evaluator.statistics.discrimination import DeLongTest, delong_test
from evaluator.statistics.intervals import Interval
from evaluator.statistics.significance import holm
from patientdx.errors import EvaluationError

from .metrics import HEADLINE_METRICS, ModelMetrics
from .predictions import Outcomes, Prediction


class Contrast(NamedTuple):
    """A model minus the baseline.

    `delong` is the paired test of the AUROC of P(yes), `holm` its p-value corrected for all models
    of the task; None where there are too few deaths. `differences` have intervals of the bootstrap
    by patient, in which both models see the same resamples.
    """

    model: str
    baseline: str
    delong: DeLongTest | None
    holm: float | None
    differences: Mapping[str, tuple[float, Interval | None]]


def compare_models(
    predictions: Mapping[str, Prediction],
    metrics: Mapping[str, ModelMetrics],
    outcomes: Outcomes,
    level: float = 0.95,
) -> list[Contrast]:
    """Each model against the first, which is the baseline."""
    baseline, *others = predictions
    tests = [
        _test_auroc(outcomes, predictions[name], predictions[baseline], level) for name in others
    ]
    corrected = holm([np.nan if test is None else test.p for test in tests])
    return [
        Contrast(
            name,
            baseline,
            test,
            None if test is None else p,
            _differences(metrics[name], metrics[baseline], level),
        )
        for name, test, p in zip(others, tests, corrected, strict=True)
    ]


def _test_auroc(
    outcomes: Outcomes, prediction: Prediction, baseline: Prediction, level: float
) -> DeLongTest | None:
    try:
        return delong_test(outcomes.died, prediction.log_odds, baseline.log_odds, level)
    except EvaluationError:
        return None


def _differences(
    metrics: ModelMetrics, baseline: ModelMetrics, level: float
) -> dict[str, tuple[float, Interval | None]]:
    return {
        metric.name: (
            metrics.values[metric.name].value - baseline.values[metric.name].value,
            percentile_interval(metrics.draws[metric.name] - baseline.draws[metric.name], level),
        )
        for metric in HEADLINE_METRICS
        if metric.name in metrics.values
    }
