"""Figures of candidates with intervals by patient, and how two candidates differ on folds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics.bootstrap import (
    Floats,
    Resampling,
    Statistic,
    patient_weights,
    percentiles,
)
from evaluator.statistics.discrimination import delong_covariance
from evaluator.statistics.intervals import Interval
from evaluator.statistics.significance import Randomisation, randomisation_test

from .candidates import Candidate
from .instances import Instances, Places, Ratings
from .ledger import Ledger
from .metrics import Metric, gain
from .strategies.search import class_weights


class Judged(NamedTuple):
    """A figure and its percentile bootstrap interval by patient; None where it is never defined."""

    value: float
    interval: Interval | None


class Point(NamedTuple):
    """A candidate's figure on `n` instances."""

    candidate: Candidate
    judged: Judged
    n: int


class FoldScores(NamedTuple):
    """What one candidate says of the instances of a fold, at their places."""

    places: Places
    ratings: Ratings


@dataclass(frozen=True)
class DeLong:
    """DeLong's paired test over folds: z and the two-sided p-value."""

    z: float
    p: float


def point(
    ledger: Ledger, metric: Metric, candidate: Candidate, places: Places, settings: Resampling
) -> Point | None:
    """The figure of a candidate on the instances that it was tried on; None where it has failed.

    Where those are a sample by outcome, AUPRC refers to all instances (`class_weights`).
    """
    ratings = ledger.rate(candidate, places)
    if ratings is None:
        return None
    instances = ledger.instances.at(places)
    statistic = metric.statistic(instances, ratings)
    base = (
        class_weights(ledger.instances, ledger.instances.everywhere, places)
        if metric.by_class
        else np.ones(places.size)
    )
    value = float(statistic(base[None, :])[0])
    drawn = np.concatenate(
        [statistic(weights * base) for weights in patient_weights(instances.patients, settings)]
    )
    return Point(candidate, Judged(value, percentiles(drawn, settings.level)), places.size)


def over_folds(metric: Metric, instances: Instances, folds: Sequence[FoldScores]) -> Statistic:
    """Weights of all instances (rows, n) into the mean over folds of the metric, (rows,).

    Folds are judged apart and then averaged, not pooled: scores of different candidates have
    different scales, and their ranking across folds means nothing.
    """
    parts = [
        (fold.places, metric.statistic(instances.at(fold.places), fold.ratings)) for fold in folds
    ]

    def mean(weights: Floats) -> Floats:
        found: Floats = np.mean([part(weights[:, places]) for places, part in parts], axis=0)
        return found

    return mean


def drawn_together(
    instances: Instances,
    statistics: Mapping[str, Statistic],
    settings: Resampling,
) -> dict[str, Judged]:
    """Each statistic's value and interval, over the same resamples of patients."""
    whole = np.ones((1, len(instances)))
    drawn: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in patient_weights(instances.patients, settings):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    return {
        name: Judged(
            float(statistic(whole)[0]), percentiles(np.concatenate(drawn[name]), settings.level)
        )
        for name, statistic in statistics.items()
    }


def delong_over_folds(
    instances: Instances, ours: Sequence[FoldScores], theirs: Sequence[FoldScores]
) -> DeLong | None:
    """Whether two mean AUROCs over folds differ: DeLong's paired variances, summed over folds.

    Folds have no patient in common. The choice of each fold is taken as given. None where a fold
    has fewer than two instances of an outcome. Stays count as independent.
    """
    differences, variances = [], []
    for one, other in zip(ours, theirs, strict=True):
        labels = instances.labels
        if labels is None or _few(labels[one.places]):
            return None
        scores = [one.ratings.scores, other.ratings.scores]
        areas, covariance = delong_covariance(labels[one.places], scores)
        differences.append(areas[0] - areas[1])
        same = np.array_equal(scores[0], scores[1])
        variances.append(
            0.0 if same else covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        )
    difference = math.fsum(differences)
    deviation = math.sqrt(max(0.0, math.fsum(variances)))
    if deviation > 0:
        z = difference / deviation
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
    return DeLong(z, math.erfc(abs(z) / math.sqrt(2)))


def randomised_over_folds(
    metric: Metric,
    instances: Instances,
    ours: Sequence[FoldScores],
    theirs: Sequence[FoldScores],
    seed: int = 0,
) -> Randomisation | None:
    """Whether two metrics that are means differ: the paired randomisation test over all folds.

    The two sums of each patient (query, text) are exchanged by chance, each score counting as it
    does in the mean over folds of the fold's mean; of perplexity it is the mean loss a token that
    is tested. The choice of each fold is taken as given. None where the metric is no mean.
    """
    if metric.by_class:
        return None
    weights = np.zeros(len(instances))
    sides = np.zeros((2, len(instances)))
    for one, other in zip(ours, theirs, strict=True):
        sizes = instances.sizes
        shares = np.ones(one.places.size) if sizes is None else sizes[one.places]
        weights[one.places] = shares / shares.sum()
        sides[0, one.places], sides[1, one.places] = one.ratings.scores, other.ratings.scores
    _, unit_of = np.unique(instances.patients, return_inverse=True)
    left, right = (np.bincount(unit_of, weights * side).astype(np.float64) for side in sides)
    return randomisation_test(left, right, seed=seed)


def win_shares(
    ledger: Ledger,
    metric: Metric,
    candidates: Sequence[Candidate],
    places: Places,
    settings: Resampling,
) -> dict[Candidate, float]:
    """How often each candidate is the best of all over resamples of patients; sums to 1.

    All are judged on the same `places`. Resamples on which the metric is undefined are left out,
    and ties are shared.
    """
    instances = ledger.instances.at(places)
    rated = {one: ledger.rate(one, places) for one in candidates}
    statistics = [
        metric.statistic(instances, ratings) for ratings in rated.values() if ratings is not None
    ]
    names = [one for one, ratings in rated.items() if ratings is not None]
    base = class_weights(ledger.instances, ledger.instances.everywhere, places)
    wins, counted = np.zeros(len(names)), 0
    for weights in patient_weights(instances.patients, settings):
        by_class = weights * base if metric.by_class else weights
        values = gain(metric, 1.0) * np.array([one(by_class) for one in statistics])
        values = values[:, np.isfinite(values).all(axis=0)]
        best = values >= values.max(axis=0, initial=-np.inf) - 1e-12
        wins += (best / best.sum(axis=0)).sum(axis=1)
        counted += values.shape[1]
    return {one: float(share) for one, share in zip(names, wins / max(1, counted), strict=True)}


def _few(labels: npt.NDArray[np.bool_]) -> bool:
    return int(min(np.count_nonzero(labels), np.count_nonzero(~labels))) < 2
