"""Discrimination of scores: ROC and precision-recall areas, DeLong's variance and test."""

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
class RankedLabels:
    """Labels ranked by their scores, highest first; equal scores share a threshold.

    `order` sorts the stays, `starts` are the first ranks of each threshold, `values` their
    scores. Built once, it computes the areas of many weightings, arrays of shape (..., n).
    """

    labels: npt.NDArray[np.bool_]
    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    values: Floats

    @classmethod
    def from_scores(cls, labels: Labels, scores: Scores) -> "RankedLabels":
        """Ranks labels by scores. Raises EvaluationError as `validate_scores`."""
        truth, values = validate_scores(labels, scores)
        order = np.argsort(-values, kind="stable")
        descending = values[order]
        starts = np.flatnonzero(np.r_[True, descending[1:] != descending[:-1]])
        return cls(truth, order, starts, descending[starts])

    def counts(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """The weight of deaths and of survivors at each threshold, both (..., thresholds)."""
        values = np.ones(self.labels.size) if weights is None else np.asarray(weights, np.float64)
        sorted_weights = values[..., self.order]
        deaths = np.where(self.labels[self.order], sorted_weights, 0.0)
        died: Floats = np.add.reduceat(deaths, self.starts, axis=-1)
        totals: Floats = np.add.reduceat(sorted_weights, self.starts, axis=-1)
        return died, totals - died

    def auroc(self, weights: Floats | None = None) -> Floats:
        """The area under the ROC curve, ties counted half; nan where a class has no weight."""
        died, lived = self.counts(weights)
        above = np.cumsum(died, axis=-1) - died / 2
        pairs = died.sum(-1) * lived.sum(-1)
        return _ratio((above * lived).sum(-1), pairs)

    def average_precision(self, weights: Floats | None = None) -> Floats:
        """Average precision, the step-wise area; nan where deaths have no weight."""
        died, lived = self.counts(weights)
        true_positives = np.cumsum(died, axis=-1)
        positives = true_positives + np.cumsum(lived, axis=-1)
        precision = _ratio(true_positives, positives, empty=0.0)
        return _ratio((precision * died).sum(-1), died.sum(-1))


def auroc(labels: Labels, scores: Scores) -> float:
    """The area under the ROC curve. Raises EvaluationError for a single class."""
    ranked = RankedLabels.from_scores(labels, scores)
    require_both_classes(ranked.labels, "AUROC")
    return float(ranked.auroc())


def average_precision(labels: Labels, scores: Scores) -> float:
    """AUPRC as average precision (steps, no trapezoid); ties enter as one threshold.

    Raises EvaluationError without deaths.
    """
    ranked = RankedLabels.from_scores(labels, scores)
    if not ranked.labels.any():
        raise EvaluationError("AUPRC is undefined: nobody dies")
    return float(ranked.average_precision())


def answer_values(answers: Sequence[bool | None]) -> Floats:
    """Answers as numbers: yes 1, no 0, and 1/2 for an answer that is neither."""
    return np.array([0.5 if answer is None else float(answer) for answer in answers])


def hard_auroc(labels: Labels, values: Scores) -> float:
    """The AUROC of yes/no answers, which equals balanced accuracy, (TPR + TNR) / 2.

    `values` are those of `answer_values`: an answer that is neither counts 1/2 in its class, as a
    coin would on average. Raises EvaluationError for a single class.
    """
    truth, values = validate_scores(labels, values)
    if np.any((values < 0) | (values > 1)):
        raise EvaluationError("an answer counts from 0 (no) to 1 (yes)")
    require_both_classes(truth, "AUROC")
    return float(values[truth].mean() / 2 + (1 - values[~truth]).mean() / 2)


def roc_curve(labels: Labels, scores: Scores) -> Curve:
    """False-positive rate (x) and true-positive rate (y), from (0, 0) to (1, 1)."""
    ranked = RankedLabels.from_scores(labels, scores)
    require_both_classes(ranked.labels, "an ROC curve")
    died, lived = (np.r_[0.0, np.cumsum(counts)] for counts in ranked.counts())
    return Curve(lived / lived[-1], died / died[-1], np.r_[np.inf, ranked.values])


def precision_recall_curve(labels: Labels, scores: Scores) -> Curve:
    """Recall (x) and precision (y) at every threshold, the highest first."""
    ranked = RankedLabels.from_scores(labels, scores)
    require_both_classes(ranked.labels, "a precision-recall curve")
    died, lived = (np.cumsum(counts) for counts in ranked.counts())
    return Curve(died / died[-1], died / (died + lived), ranked.values)


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
    """DeLong's interval of an AUROC, clipped to [0, 1]. Raises as `delong_covariance`."""
    areas, covariance = delong_covariance(labels, [scores])
    half = _quantile(level) * math.sqrt(covariance[0, 0])
    area = float(areas[0])
    return Interval(max(0.0, area - half), min(1.0, area + half))


def delong_test(
    labels: Labels, system: Scores, baseline: Scores, level: float = 0.95
) -> DeLongTest:
    """DeLong's paired test of two AUROCs on the same stays: system minus baseline, two-sided.

    If both models rank alike, p is 1. Raises EvaluationError as `delong_covariance`.
    """
    died, lived = _components(labels, [system, baseline])
    # The variance of the differences: exactly 0 for equal rankings.
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


def validate_scores(labels: Labels, scores: Scores) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Labels and scores as arrays (n,). Raises EvaluationError if they are invalid."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or truth.size == 0:
        raise EvaluationError("figures need one label and one score for each of one stay or more")
    if not np.all(np.isfinite(values)):
        raise EvaluationError("figures need finite scores")
    if not np.all((truth == 0) | (truth == 1)):
        raise EvaluationError("a label is 0 or 1")
    return truth.astype(bool), values


def require_both_classes(labels: npt.NDArray[np.bool_], what: str) -> None:
    """Raises EvaluationError unless there are both deaths and survivors."""
    if labels.all() or not labels.any():
        only = "dies" if labels.any() else "survives"
        raise EvaluationError(f"{what} is undefined: everybody {only}")


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[groups]
    return ranks


def _components(labels: Labels, scores: Sequence[Scores]) -> tuple[Floats, Floats]:
    """Structural components: the share of survivors below each death, and the reverse."""
    died, lived = [], []
    for model_scores in scores:
        truth, values = validate_scores(labels, model_scores)
        require_both_classes(truth, "AUROC")
        if min(truth.sum(), (~truth).sum()) < 2:
            raise EvaluationError("DeLong's variance needs two stays of each class")
        ranks = midranks(values)
        died.append((ranks[truth] - midranks(values[truth])) / np.count_nonzero(~truth))
        lived.append(1 - (ranks[~truth] - midranks(values[~truth])) / np.count_nonzero(truth))
    return np.array(died), np.array(lived)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise EvaluationError(f"the level of an interval lies between 0 and 1, not at {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def _ratio(numerator: Floats, denominator: Floats, empty: float = math.nan) -> Floats:
    ratios: Floats = np.full(np.shape(numerator), empty)
    np.divide(numerator, denominator, out=ratios, where=np.asarray(denominator) > 0)
    return ratios
