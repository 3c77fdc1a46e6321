"""Whether probabilities are what they say: Brier scores, calibration curves, slope, intercept."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .discrimination import Floats, Labels, Scores, checked, need_both
from .intervals import Interval

EDGE = 1e-12
"""Probabilities nearer to 0 or 1 than this are taken as this far away, where a logit is needed."""

_STEPS = 100
_Z95 = 1.959963984540054


class Estimate(NamedTuple):
    """A figure and its interval."""

    value: float
    interval: Interval


class Group(NamedTuple):
    """Stays of similar probability: mean probability, share of deaths with its interval, n."""

    predicted: float
    observed: float
    interval: Interval
    n: int


class Recalibration(NamedTuple):
    """What logistic recalibration finds, with 95 % Wald intervals; perfect is 0, 1 and 0.

    `intercept` and `slope` are fitted together; `in_the_large` is the intercept beside a slope
    of 1, greater than 0 where more die than was said. None where deaths are told apart
    perfectly, or all probabilities are the same: there is no such fit.
    """

    intercept: Estimate | None
    slope: Estimate | None
    in_the_large: Estimate | None


def brier(labels: Labels, probabilities: Scores) -> float:
    """The mean squared difference of probability and outcome (Brier 1950); 0 is perfect."""
    truth, given = _probabilities(labels, probabilities)
    return float(((given - truth) ** 2).mean())


def scaled_brier(labels: Labels, probabilities: Scores) -> float:
    """1 - Brier / that of telling everybody the prevalence; 1 is perfect, 0 useless.

    Raises EvaluationError where there is one class only.
    """
    truth, _ = _probabilities(labels, probabilities)
    need_both(truth, "the scaled Brier score")
    prevalence = truth.mean()
    return float(1 - brier(labels, probabilities) / (prevalence * (1 - prevalence)))


def expected_calibration_error(labels: Labels, probabilities: Scores, bins: int = 10) -> float:
    """The mean distance of probability and outcome over bins of equal width, weighted by n.

    Naeini et al. 2015; bins hold (low, high], the first also 0.
    """
    truth, given = _probabilities(labels, probabilities)
    places = np.clip(np.ceil(given * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(places, given - truth, minlength=bins)
    return float(np.abs(gaps).sum() / truth.size)


def calibration_curve(labels: Labels, probabilities: Scores, groups: int = 10) -> list[Group]:
    """Stays in groups of as equal a size as ties allow, by rising probability.

    Equal probabilities are never parted. Intervals are Wilson's, 95 %.
    """
    truth, given = _probabilities(labels, probabilities)
    order = np.argsort(given, kind="stable")
    rising = given[order]
    wanted = np.arange(1, groups) * given.size / groups
    # A border in the middle of equal values moves to their end.
    borders = np.searchsorted(rising, rising[np.ceil(wanted).astype(int) - 1], side="right")
    parts = np.split(order, np.unique(borders))
    return [_group(truth[part], given[part]) for part in parts if part.size]


def recalibration(labels: Labels, probabilities: Scores) -> Recalibration:
    """Slope and intercept of the outcome on the logit of the probability (Cox 1958).

    Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics". Raises
    EvaluationError where there is one class only.
    """
    truth, given = _probabilities(labels, probabilities)
    need_both(truth, "a calibration slope")
    logits = logit(given)
    one = np.ones_like(logits)
    both = None if np.all(logits == logits[0]) else _fit(truth, np.column_stack([one, logits]))
    large = _fit(truth, one[:, None], logits)
    intercept, slope = both or (None, None)
    return Recalibration(intercept, slope, large[0] if large else None)


def logit(probabilities: Floats) -> Floats:
    """The log-odds, of probabilities kept `EDGE` away from 0 and 1."""
    kept = np.clip(probabilities, EDGE, 1 - EDGE)
    found: Floats = np.log(kept) - np.log1p(-kept)
    return found


def wilson(deaths: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    share, z = deaths / n, _Z95
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _probabilities(labels: Labels, probabilities: Scores) -> tuple[npt.NDArray[np.bool_], Floats]:
    truth, given = checked(labels, probabilities)
    if np.any((given < 0) | (given > 1)):
        raise EvaluationError("a probability lies between 0 and 1")
    return truth, given


def _group(truth: npt.NDArray[np.bool_], given: Floats) -> Group:
    n, deaths = truth.size, int(truth.sum())
    return Group(float(given.mean()), deaths / n, wilson(deaths, n), n)


def _fit(
    truth: npt.NDArray[np.bool_], design: Floats, offset: Floats | float = 0.0
) -> tuple[Estimate, ...] | None:
    """A logistic regression without penalty by Newton's method; None where there is no maximum."""

    def likelihood(of: Floats) -> float:
        return -float(np.logaddexp(0, np.where(truth, -1, 1) * (design @ of + offset)).sum())

    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chances = _logistic(design @ found + offset)
        information = design.T @ (design * (chances * (1 - chances))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (truth - chances))
        except np.linalg.LinAlgError:
            return None
        if np.abs(step).max() <= 1e-10 * max(1.0, np.abs(found).max()):
            return _estimates(found + step, information)
        best = likelihood(found)
        while np.abs(step).max() > 1e-12 and not likelihood(found + step) >= best - 1e-9:
            step = step / 2  # it went too far
        found = found + step
    return None


def _estimates(found: Floats, information: Floats) -> tuple[Estimate, ...] | None:
    try:
        variances = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        return None
    if not np.all(np.isfinite(variances) & (variances > 0)):
        return None  # all but singular: what was found is rounding
    errors = np.sqrt(variances)
    return tuple(
        Estimate(float(one), Interval(float(one - _Z95 * error), float(one + _Z95 * error)))
        for one, error in zip(found, errors, strict=True)
    )


def _logistic(values: Floats) -> Floats:
    small = np.exp(-np.abs(values))
    found: Floats = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return found
