"""How well scores tell who dies: ROC and precision-recall areas, DeLong's variance and test."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .intervals import Interval

Floats = npt.NDArray[np.float64]
Labels = Sequence[bool] | Sequence[int] | npt.NDArray[np.bool_] | npt.NDArray[np.int_]
Scores = Sequence[float] | Floats


class DeLongTest(NamedTuple):
    """A difference of two AUROCs on the same stays, its interval, z and two-sided p-value."""

    difference: float
    interval: Interval
    z: float
    p: float


class Curve(NamedTuple):
    """Points of a curve, from the highest threshold to the lowest; arrays of one length."""

    x: Floats
    y: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Ordered:
    """Labels in the order of their scores, highest first; equal scores are one threshold.

    `order` sorts the stays, `starts` are the first places of each threshold, `values` their
    scores. Made once, it gives the areas of many weightings, which are arrays (..., n).
    """

    labels: npt.NDArray[np.bool_]
    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    values: Floats

    @classmethod
    def of(cls, labels: Labels, scores: Scores) -> "Ordered":
        """Raises EvaluationError for arrays that do not fit, and for scores that are not finite."""
        truth, given = checked(labels, scores)
        order = np.argsort(-given, kind="stable")
        falling = given[order]
        starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
        return cls(truth, order, starts, falling[starts])

    def counts(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """The weight of deaths and of survivors at each threshold, both (..., thresholds)."""
        whole = np.ones(self.labels.size) if weights is None else np.asarray(weights, np.float64)
        sorted_weights = whole[..., self.order]
        deaths = np.where(self.labels[self.order], sorted_weights, 0.0)
        died: Floats = np.add.reduceat(deaths, self.starts, axis=-1)
        all_: Floats = np.add.reduceat(sorted_weights, self.starts, axis=-1)
        return died, all_ - died

    def auroc(self, weights: Floats | None = None) -> Floats:
        """The area under the ROC curve, ties counted half; nan where a class has no weight."""
        died, lived = self.counts(weights)
        above = np.cumsum(died, axis=-1) - died / 2
        pairs = died.sum(-1) * lived.sum(-1)
        return _ratio((above * lived).sum(-1), pairs)

    def average_precision(self, weights: Floats | None = None) -> Floats:
        """Average precision, the step-wise area; nan where deaths have no weight."""
        died, lived = self.counts(weights)
        found = np.cumsum(died, axis=-1)
        precision = _ratio(found, found + np.cumsum(lived, axis=-1), empty=0.0)
        return _ratio((precision * died).sum(-1), died.sum(-1))


def auroc(labels: Labels, scores: Scores) -> float:
    """The area under the ROC curve. Raises EvaluationError where there is one class only."""
    ordered = Ordered.of(labels, scores)
    need_both(ordered.labels, "AUROC")
    return float(ordered.auroc())


def average_precision(labels: Labels, scores: Scores) -> float:
    """AUPRC as average precision (steps, no trapezoid); ties enter as one threshold.

    Raises EvaluationError where nobody dies.
    """
    ordered = Ordered.of(labels, scores)
    if not ordered.labels.any():
        raise EvaluationError("AUPRC is undefined: nobody dies")
    return float(ordered.average_precision())


def hard_values(answers: Sequence[bool | None]) -> Floats:
    """Answers as numbers: yes 1, no 0, and 1/2 for what could not be read as either."""
    return np.array([0.5 if one is None else float(one) for one in answers])


def hard_auroc(labels: Labels, values: Scores) -> float:
    """The AUROC of yes/no answers, which equals balanced accuracy, (TPR + TNR) / 2.

    `values` are those of `hard_values`: an answer that is neither counts 1/2 in its class, which
    is what a coin would get on average. Raises EvaluationError where there is one class only.
    """
    truth, given = checked(labels, values)
    if np.any((given < 0) | (given > 1)):
        raise EvaluationError("an answer counts from 0 (no) to 1 (yes)")
    need_both(truth, "AUROC")
    return float(given[truth].mean() / 2 + (1 - given[~truth]).mean() / 2)


def roc_curve(labels: Labels, scores: Scores) -> Curve:
    """False-positive rate (x) and true-positive rate (y), from (0, 0) to (1, 1)."""
    ordered = Ordered.of(labels, scores)
    need_both(ordered.labels, "an ROC curve")
    died, lived = (np.r_[0.0, np.cumsum(one)] for one in ordered.counts())
    return Curve(lived / lived[-1], died / died[-1], np.r_[np.inf, ordered.values])


def precision_recall_curve(labels: Labels, scores: Scores) -> Curve:
    """Recall (x) and precision (y) at every threshold, the highest first."""
    ordered = Ordered.of(labels, scores)
    need_both(ordered.labels, "a precision-recall curve")
    died, lived = (np.cumsum(one) for one in ordered.counts())
    return Curve(died / died[-1], died / (died + lived), ordered.values)


def delong_covariance(labels: Labels, scores: Sequence[Scores]) -> tuple[Floats, Floats]:
    """The AUROCs (k,) of k models on the same stays, and their covariance (k, k).

    DeLong, DeLong & Clarke-Pearson 1988 by the midranks of Sun & Xu 2014, in O(n log n). Stays
    count as independent. Raises EvaluationError for fewer than two stays of a class.
    """
    died, lived = _components(labels, scores)
    within_died = np.atleast_2d(np.cov(died))
    within_lived = np.atleast_2d(np.cov(lived))
    return died.mean(axis=1), within_died / died.shape[1] + within_lived / lived.shape[1]


def delong_interval(labels: Labels, scores: Scores, level: float = 0.95) -> Interval:
    """DeLong's interval of an AUROC, cut at 0 and 1. Raises EvaluationError as the covariance."""
    areas, covariance = delong_covariance(labels, [scores])
    half = _quantile(level) * math.sqrt(covariance[0, 0])
    area = float(areas[0])
    return Interval(max(0.0, area - half), min(1.0, area + half))


def delong_test(
    labels: Labels, system: Scores, baseline: Scores, level: float = 0.95
) -> DeLongTest:
    """DeLong's paired test of two AUROCs on the same stays: system minus baseline, two-sided.

    Where two models rank alike, p is 1. Raises EvaluationError as `delong_covariance`.
    """
    died, lived = _components(labels, [system, baseline])
    # The variance of the differences: exactly 0 for rankings that are the same.
    by_death, by_life = died[0] - died[1], lived[0] - lived[1]
    variance = by_death.var(ddof=1) / by_death.size + by_life.var(ddof=1) / by_life.size
    difference = float(by_death.mean())
    deviation = math.sqrt(variance)
    if deviation > 0:
        z = difference / deviation
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
    half = _quantile(level) * deviation
    p = math.erfc(abs(z) / math.sqrt(2))
    return DeLongTest(difference, Interval(difference - half, difference + half), z, p)


def checked(labels: Labels, scores: Scores) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Labels and scores as arrays (n,). Raises EvaluationError where they cannot be used."""
    truth, given = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != given.shape or truth.size == 0:
        raise EvaluationError("figures need one label and one score for each of one stay or more")
    if not np.all(np.isfinite(given)):
        raise EvaluationError("figures need finite scores")
    if not np.all((truth == 0) | (truth == 1)):
        raise EvaluationError("a label is 0 or 1")
    return truth.astype(bool), given


def need_both(labels: npt.NDArray[np.bool_], what: str) -> None:
    """Raises EvaluationError unless some die and some survive."""
    if labels.all() or not labels.any():
        only = "dies" if labels.any() else "survives"
        raise EvaluationError(f"{what} is undefined: everybody {only}")


def midranks(values: Floats) -> Floats:
    """Ranks from 1, shared by equal values as the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[places]
    return ranks


def _components(labels: Labels, scores: Sequence[Scores]) -> tuple[Floats, Floats]:
    """Structural components: of each death the share of survivors below it, and the reverse."""
    died, lived = [], []
    for one in scores:
        truth, given = checked(labels, one)
        need_both(truth, "AUROC")
        if min(truth.sum(), (~truth).sum()) < 2:
            raise EvaluationError("DeLong's variance needs two stays of each class")
        ranks = midranks(given)
        died.append((ranks[truth] - midranks(given[truth])) / np.count_nonzero(~truth))
        lived.append(1 - (ranks[~truth] - midranks(given[~truth])) / np.count_nonzero(truth))
    return np.array(died), np.array(lived)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise EvaluationError(f"the level of an interval lies between 0 and 1, not at {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def _ratio(over: Floats, under: Floats, empty: float = math.nan) -> Floats:
    found: Floats = np.full(np.shape(over), empty)
    np.divide(over, under, out=found, where=np.asarray(under) > 0)
    return found
