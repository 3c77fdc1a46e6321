"""Calibration and net benefit against scikit-learn, scipy's optimiser, and sums by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from evaluator.statistics.calibration import (
    brier_score,
    calibration_curve,
    expected_calibration_error,
    fit_recalibration,
    logit,
    scaled_brier_score,
    wilson_interval,
)
from evaluator.statistics.decision_curves import decision_curve
from patientdx.errors import EvaluationError

STAYS = some.lists(some.tuples(some.booleans(), some.floats(0, 1)), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(died for died, _ in rows) < len(rows)
)


def stays(n: int, seed: int, slope: float = 0.6, shift: float = -0.4) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    logits = chance.normal(-1.5, 1.2, size=n)
    labels = chance.random(n) < 1 / (1 + np.exp(-(slope * logits + shift)))
    return labels, 1 / (1 + np.exp(-logits))


@given(STAYS)
def test_brier_scores_are_those_of_scikit_learn(rows: list[Any]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra mortality")
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    assert brier_score(labels, probabilities) == pytest.approx(
        metrics.brier_score_loss(labels, probabilities), abs=1e-12
    )
    base = metrics.brier_score_loss(labels, np.full(len(labels), labels.mean()))
    expected = 1 - metrics.brier_score_loss(labels, probabilities) / base
    assert scaled_brier_score(labels, probabilities) == pytest.approx(expected, abs=1e-9)


@given(STAYS)
def test_the_calibration_error_is_what_a_loop_over_bins_gives(rows: list[Any]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    expected = 0.0
    for low in range(10):
        inside = (probabilities * 10 > low) & (probabilities * 10 <= low + 1) | (
            (probabilities == 0) & (low == 0)
        )
        if inside.any():
            gap = abs(labels[inside].mean() - probabilities[inside].mean())
            expected += inside.sum() / len(labels) * gap
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_slope_and_intercept_are_those_of_scikit_learn(seed: int) -> None:
    """To 1e-9, with its Newton solver: its default one stops at 1e-6."""
    linear = pytest.importorskip("sklearn.linear_model", reason="needs the extra mortality")
    labels, probabilities = stays(1500, seed)
    result = fit_recalibration(labels, probabilities)
    model = linear.LogisticRegression(
        C=math.inf, solver="newton-cholesky", tol=1e-13, max_iter=10_000
    )
    model.fit(logit(probabilities)[:, None], labels)
    assert result.slope is not None
    assert result.intercept is not None
    assert result.slope.value == pytest.approx(float(model.coef_[0, 0]), abs=1e-9)
    assert result.intercept.value == pytest.approx(float(model.intercept_[0]), abs=1e-9)
    assert result.slope.interval.low < 0.6 < result.slope.interval.high


def test_all_fits_are_the_maximum_of_the_likelihood() -> None:
    """By scipy's optimisers, to 1e-7; standard errors by a numerical Hessian."""
    from scipy.optimize import minimize, root_scalar

    labels, probabilities = stays(800, seed=9, slope=1.4, shift=0.5)
    logits = logit(probabilities)

    def loss(of: Any) -> float:
        return float(np.logaddexp(0, np.where(labels, -1, 1) * (of[0] + of[1] * logits)).sum())

    def excess(shift: float) -> float:
        return float((labels - 1 / (1 + np.exp(-(logits + shift)))).sum())

    result = fit_recalibration(labels, probabilities)
    assert result.slope is not None
    assert result.intercept is not None
    assert result.in_the_large is not None
    best = minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-8})
    assert result.intercept.value == pytest.approx(best.x[0], abs=1e-6)
    assert result.slope.value == pytest.approx(best.x[1], abs=1e-6)
    root = root_scalar(excess, bracket=(-5, 5), xtol=1e-13).root
    assert result.in_the_large.value == pytest.approx(root, abs=1e-9)
    at, h = best.x, 1e-4
    hessian = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * h, np.eye(2)[j] * h
            four = loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)
            hessian[i, j] = four / (4 * h * h)
    error = math.sqrt(np.linalg.inv(hessian)[1, 1])
    half = (result.slope.interval.high - result.slope.interval.low) / 2
    assert half == pytest.approx(1.959964 * error, rel=1e-4)


@given(STAYS)
def test_a_fit_never_fails_and_is_stationary(rows: list[Any]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    result = fit_recalibration(labels, probabilities)
    if result.slope is not None and result.intercept is not None:
        fitted = result.intercept.value + result.slope.value * logit(probabilities)
        residual = labels - 1 / (1 + np.exp(-np.clip(fitted, -700, 700)))
        assert abs(residual.sum()) < 1e-5 * len(rows)


def test_without_a_fit_there_is_none() -> None:
    apart = fit_recalibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert apart.slope is None
    assert apart.intercept is None
    assert apart.in_the_large is not None
    same = fit_recalibration([0, 0, 1], [0.5, 0.5, 0.5])
    assert same.slope is None
    assert same.in_the_large is not None
    assert same.in_the_large.value == pytest.approx(math.log(0.5), abs=1e-12)
    with pytest.raises(EvaluationError, match="everybody dies"):
        fit_recalibration([1, 1], [0.5, 0.4])


@given(STAYS, some.integers(1, 12))
def test_groups_are_all_stays_in_order(rows: list[Any], groups: int) -> None:
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    curve = calibration_curve(labels, probabilities, groups)
    assert sum(group.n for group in curve) == len(rows)
    assert len(curve) <= groups
    assert sum(group.n * group.observed for group in curve) == pytest.approx(labels.sum())
    assert sum(group.n * group.predicted for group in curve) == pytest.approx(probabilities.sum())
    assert [group.predicted for group in curve] == sorted(group.predicted for group in curve)
    if len(set(probabilities)) == len(rows) and groups <= len(rows):
        assert max(group.n for group in curve) - min(group.n for group in curve) <= 1


def test_wilson_is_that_of_scipy() -> None:
    from scipy.stats import binomtest

    for deaths, n in [(0, 5), (3, 17), (40, 40), (554, 4000)]:
        low, high = binomtest(deaths, n).proportion_ci(method="wilson")
        assert wilson_interval(deaths, n) == pytest.approx((low, high), abs=1e-9)


def test_net_benefit_by_hand() -> None:
    labels = [1, 1, 0, 0, 0]
    curve = decision_curve(labels, [0.9, 0.2, 0.5, 0.2, 0.1], [0.0, 0.2, 0.5, 0.6])
    # t = .2: four are acted on, two of them die; t = .5: two, one dies; t = .6: one, who dies.
    expected = [0.4 - 0.6 * 0, 2 / 5 - 2 / 5 * 0.25, 1 / 5 - 1 / 5 * 1, 1 / 5]
    np.testing.assert_allclose(curve.model, expected, atol=1e-12)
    everybody = [0.4, 0.4 - 0.6 * 0.25, 0.4 - 0.6, 0.4 - 0.6 * 1.5]
    np.testing.assert_allclose(curve.everybody, everybody, atol=1e-12)


@given(STAYS, some.floats(0.01, 0.9))
def test_net_benefit_is_what_counting_gives(rows: list[Any], threshold: float) -> None:
    true = sum(died and chance >= threshold for died, chance in rows)
    false = sum(not died and chance >= threshold for died, chance in rows)
    expected = true / len(rows) - false / len(rows) * threshold / (1 - threshold)
    labels, probabilities = zip(*rows, strict=True)
    result = decision_curve(np.array(labels), np.array(probabilities), [threshold])
    assert result.model[0] == pytest.approx(expected, abs=1e-9)


def test_what_is_no_probability_is_refused() -> None:
    for function in (
        brier_score,
        scaled_brier_score,
        expected_calibration_error,
        fit_recalibration,
    ):
        with pytest.raises(EvaluationError, match="between 0 and 1"):
            function([0, 1], [0.5, 1.5])
    with pytest.raises(EvaluationError, match="threshold"):
        decision_curve([0, 1], [0.5, 0.5], [1.0])
