"""Calibration of probabilities: Brier scores, calibration curves, slope and intercept."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .discrimination import Floats, Labels, Scores, require_both_classes, validate_scores
from .intervals import Interval

EDGE = 1e-12
"""The least distance of a probability from 0 and 1 before its logit is taken."""

_STEPS = 100
_Z95 = 1.959963984540054


class Coefficient(NamedTuple):
    """A fitted coefficient and its Wald interval."""

    value: float
    interval: Interval


class CalibrationGroup(NamedTuple):
    """Stays of similar probability: mean probability, share of deaths with its interval, n."""

    predicted: float
    observed: float
    interval: Interval
    n: int


class Recalibration(NamedTuple):
    """Coefficients of a logistic recalibration with 95 % intervals; perfect is 0, 1 and 0.

    `intercept` and `slope` are fitted together; `in_the_large` is the intercept with the slope
    fixed at 1, greater than 0 if more patients die than predicted. None if the probabilities
    separate deaths perfectly or are all the same, since there is no such fit.
    """

    intercept: Coefficient | None
    slope: Coefficient | None
    in_the_large: Coefficient | None


def brier_score(labels: Labels, probabilities: Scores) -> float:
    """The mean squared difference of probability and outcome (Brier 1950); 0 is perfect."""
    truth, predicted = _probabilities(labels, probabilities)
    return float(((predicted - truth) ** 2).mean())


def scaled_brier_score(labels: Labels, probabilities: Scores) -> float:
    """1 - Brier score / Brier score of the prevalence; 1 is perfect, 0 useless.

    Raises EvaluationError for a single class.
    """
    truth, _ = _probabilities(labels, probabilities)
    require_both_classes(truth, "the scaled Brier score")
    prevalence = truth.mean()
    return float(1 - brier_score(labels, probabilities) / (prevalence * (1 - prevalence)))


def expected_calibration_error(labels: Labels, probabilities: Scores, bins: int = 10) -> float:
    """The mean distance of probability and outcome over bins of equal width, weighted by n.

    Naeini et al. 2015; bins hold (low, high], the first also 0.
    """
    truth, predicted = _probabilities(labels, probabilities)
    bin_of = np.clip(np.ceil(predicted * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, predicted - truth, minlength=bins)
    return float(np.abs(gaps).sum() / truth.size)


def calibration_curve(
    labels: Labels, probabilities: Scores, groups: int = 10
) -> list[CalibrationGroup]:
    """Stays by increasing probability, in groups as equal in size as ties allow.

    Equal probabilities share a group. Intervals are Wilson's, 95 %.
    """
    truth, predicted = _probabilities(labels, probabilities)
    order = np.argsort(predicted, kind="stable")
    ascending = predicted[order]
    targets = np.arange(1, groups) * predicted.size / groups
    # A border within equal values moves to their end.
    borders = np.searchsorted(ascending, ascending[np.ceil(targets).astype(int) - 1], side="right")
    parts = np.split(order, np.unique(borders))
    return [_group(truth[part], predicted[part]) for part in parts if part.size]


def fit_recalibration(labels: Labels, probabilities: Scores) -> Recalibration:
    """Slope and intercept of the outcome on the logit of the probability (Cox 1958).

    Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics". Raises
    EvaluationError for a single class.
    """
    truth, predicted = _probabilities(labels, probabilities)
    require_both_classes(truth, "a calibration slope")
    logits = logit(predicted)
    ones = np.ones_like(logits)
    both = None if np.all(logits == logits[0]) else _fit(truth, np.column_stack([ones, logits]))
    in_the_large = _fit(truth, ones[:, None], logits)
    intercept, slope = both or (None, None)
    return Recalibration(intercept, slope, in_the_large[0] if in_the_large else None)


def logit(probabilities: Floats) -> Floats:
    """The log-odds of probabilities, which are clipped to [`EDGE`, 1 - `EDGE`]."""
    clipped = np.clip(probabilities, EDGE, 1 - EDGE)
    logits: Floats = np.log(clipped) - np.log1p(-clipped)
    return logits


def wilson_interval(deaths: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    share, z = deaths / n, _Z95
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _probabilities(labels: Labels, probabilities: Scores) -> tuple[npt.NDArray[np.bool_], Floats]:
    truth, predicted = validate_scores(labels, probabilities)
    if np.any((predicted < 0) | (predicted > 1)):
        raise EvaluationError("a probability lies between 0 and 1")
    return truth, predicted


def _group(truth: npt.NDArray[np.bool_], predicted: Floats) -> CalibrationGroup:
    n, deaths = truth.size, int(truth.sum())
    return CalibrationGroup(float(predicted.mean()), deaths / n, wilson_interval(deaths, n), n)


def _fit(
    truth: npt.NDArray[np.bool_], design: Floats, offset: Floats | float = 0.0
) -> tuple[Coefficient, ...] | None:
    """A logistic regression without penalty by Newton's method; None without a maximum."""

    def likelihood(values: Floats) -> float:
        return -float(np.logaddexp(0, np.where(truth, -1, 1) * (design @ values + offset)).sum())

    values = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        probabilities = _logistic(design @ values + offset)
        information = design.T @ (design * (probabilities * (1 - probabilities))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (truth - probabilities))
        except np.linalg.LinAlgError:
            return None
        if np.abs(step).max() <= 1e-10 * max(1.0, np.abs(values).max()):
            return _coefficients(values + step, information)
        best = likelihood(values)
        while np.abs(step).max() > 1e-12 and not likelihood(values + step) >= best - 1e-9:
            step = step / 2  # the step was too large
        values = values + step
    return None


def _coefficients(values: Floats, information: Floats) -> tuple[Coefficient, ...] | None:
    try:
        variances = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        return None
    if not np.all(np.isfinite(variances) & (variances > 0)):
        return None  # nearly singular: the coefficients are rounding errors
    errors = np.sqrt(variances)
    return tuple(
        Coefficient(
            float(value), Interval(float(value - _Z95 * error), float(value + _Z95 * error))
        )
        for value, error in zip(values, errors, strict=True)
    )


def _logistic(values: Floats) -> Floats:
    small = np.exp(-np.abs(values))
    probabilities: Floats = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return probabilities
