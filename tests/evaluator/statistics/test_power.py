"""The power of paired comparisons, against scipy, NumPy and simulated studies."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from evaluator.statistics.discrimination import delong_covariance, delong_test
from evaluator.statistics.power import PairedPower
from patientdx.errors import EvaluationError

RUNS = 2000
ERROR = 3.5 * math.sqrt(0.8 * 0.2 / RUNS)


@pytest.mark.parametrize("n", [5, 100, 3000])
@pytest.mark.parametrize("difference", [-0.2, 0.0, 0.03])
def test_power_is_the_probability_that_a_normal_estimate_is_significant(
    difference: float, n: int
) -> None:
    power = PairedPower(difference, 0.7)
    error = 0.7 / math.sqrt(n)
    bound = norm.ppf(0.975) * error
    outside = norm(difference, error)
    assert power.at(n) == pytest.approx(outside.cdf(-bound) + outside.sf(bound), abs=1e-12)


def test_the_needed_number_is_the_least_with_the_target() -> None:
    for difference, spread in ((0.02, 0.5), (-0.3, 1.0), (0.011, 0.9)):
        power = PairedPower(difference, spread)
        needed = power.needed()
        assert needed is not None
        assert power.at(needed) >= 0.8 > power.at(0.99 * needed - 1)
        assert power.detectable(needed) == pytest.approx(abs(difference), rel=0.06)
        assert PairedPower(power.detectable(200), spread).at(200) == pytest.approx(0.8, abs=1e-6)
    assert PairedPower(0.0, 1.0).needed() is None
    assert PairedPower(0.0, 1.0).at(50) == pytest.approx(0.05)


@pytest.mark.parametrize(("spread", "level"), [(0, 0.95), (math.nan, 0.95), (1, 1), (-1, 0.9)])
def test_what_has_no_power_is_refused(spread: float, level: float) -> None:
    with pytest.raises(EvaluationError):
        PairedPower(0.1, spread, level)


def test_simulated_studies_of_means_are_significant_as_often_as_predicted() -> None:
    rng = np.random.default_rng(1)
    needed = PairedPower(0.25, 1.5).needed()
    assert needed is not None
    studies = rng.normal(0.25, 1.5, (RUNS, needed))
    share = np.mean(ttest_1samp(studies, 0, axis=1).pvalue < 0.05)
    assert share == pytest.approx(0.8, abs=ERROR)


def test_simulated_cohorts_are_significant_by_delong_as_often_as_predicted() -> None:
    """The spread of a large cohort predicts how often smaller ones show the difference."""
    rng = np.random.default_rng(2)
    died, scores = _cohort(rng, 40_000)
    areas, covariance = delong_covariance(died, list(scores))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    power = PairedPower(float(areas[0] - areas[1]), math.sqrt(variance * died.size))
    needed, runs = power.needed(), 800
    assert needed is not None
    significant = 0
    for _ in range(runs):
        died, scores = _cohort(rng, needed)
        significant += delong_test(died, *scores).p < 0.05
    assert significant / runs == pytest.approx(0.8, abs=0.05)


def _cohort(rng: np.random.Generator, size: int) -> tuple[Any, Any]:
    """Labels, 20 % of deaths, and two correlated scores whose AUROCs are .71 and .64."""
    died = rng.permutation(size) < size // 5
    common, own = rng.normal(size=size), rng.normal(size=(2, size))
    return died, np.sqrt([[0.6]]) * common + np.sqrt([[0.4]]) * own + [[0.8], [0.5]] * died
