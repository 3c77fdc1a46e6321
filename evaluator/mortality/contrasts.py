"""Models against one of them, on the same stays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from evaluator.statistics.bootstrap import percentiles
from evaluator.statistics.discrimination import DeLongTest, delong_test
from evaluator.statistics.intervals import Interval
from evaluator.statistics.significance import holm
from patientdx.errors import EvaluationError

from .figures import HEADLINES, Figures
from .predictions import Outcomes, Prediction


class Contrast(NamedTuple):
    """A model minus the baseline.

    `delong` is the paired test of the AUROC of P(yes), `holm` its p corrected for all models of
    the task; None where there are too few deaths. `differences` have intervals of the bootstrap
    by patient, in which both models see the same resamples.
    """

    model: str
    baseline: str
    delong: DeLongTest | None
    holm: float | None
    differences: Mapping[str, tuple[float, Interval | None]]


def contrasts(
    predictions: Mapping[str, Prediction],
    found: Mapping[str, Figures],
    outcomes: Outcomes,
    level: float = 0.95,
) -> list[Contrast]:
    """Every other model against the first one."""
    baseline, *others = predictions
    tests = [_test(outcomes, predictions[name], predictions[baseline], level) for name in others]
    corrected = holm([np.nan if one is None else one.p for one in tests])
    return [
        Contrast(
            name,
            baseline,
            test,
            None if test is None else p,
            _differences(found[name], found[baseline], level),
        )
        for name, test, p in zip(others, tests, corrected, strict=True)
    ]


def _test(
    outcomes: Outcomes, one: Prediction, other: Prediction, level: float
) -> DeLongTest | None:
    try:
        return delong_test(outcomes.died, one.odds, other.odds, level)
    except EvaluationError:
        return None


def _differences(
    one: Figures, other: Figures, level: float
) -> dict[str, tuple[float, Interval | None]]:
    return {
        name: (
            one.values[name].value - other.values[name].value,
            percentiles(one.draws[name] - other.draws[name], level),
        )
        for name in HEADLINES
        if name in one.values
    }
