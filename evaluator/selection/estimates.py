"""Estimates of candidates with intervals by patient, and tests of two candidates over folds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics.bootstrap import (
    Floats,
    Resampling,
    Statistic,
    patient_weights,
    percentile_interval,
)
from evaluator.statistics.discrimination import delong_covariance
from evaluator.statistics.intervals import Interval
from evaluator.statistics.significance import Randomisation, randomisation_test

from .candidate_evaluator import CandidateEvaluator
from .candidates import Candidate
from .instances import Indices, Instances, InstanceScores, sampling_weights
from .metrics import Metric, value_to_maximise


class Estimate(NamedTuple):
    """A metric value, its percentile bootstrap interval by patient, and its standard error.

    The interval is None if the metric is defined in no resample, the standard error (the standard
    deviation over the resamples) if it is defined in fewer than two.
    """

    value: float
    interval: Interval | None
    standard_error: float | None = None


class CandidateEstimate(NamedTuple):
    """The estimate of a candidate's metric on `n` instances."""

    candidate: Candidate
    estimate: Estimate
    n: int


class FoldScores(NamedTuple):
    """The scores of one candidate on the instances of a fold."""

    indices: Indices
    scores: InstanceScores


@dataclass(frozen=True)
class FoldDeLongTest:
    """DeLong's paired test over folds: z and the two-sided p-value."""

    z: float
    p: float


def estimate_candidate(
    evaluator: CandidateEvaluator,
    metric: Metric,
    candidate: Candidate,
    indices: Indices,
    settings: Resampling,
) -> CandidateEstimate | None:
    """The estimate of a candidate on some instances; None if the candidate has failed.

    If the instances are a sample by outcome, AUPRC refers to all instances (`sampling_weights`).
    """
    scores = evaluator.score(candidate, indices)
    if scores is None:
        return None
    instances = evaluator.instances.subset(indices)
    statistic = metric.statistic(instances, scores)
    base = (
        sampling_weights(evaluator.instances, evaluator.instances.all_indices, indices)
        if metric.needs_both_outcomes
        else np.ones(indices.size)
    )
    value = float(statistic(base[None, :])[0])
    resampled = np.concatenate(
        [statistic(weights * base) for weights in patient_weights(instances.patients, settings)]
    )
    return CandidateEstimate(candidate, _estimate(value, resampled, settings), indices.size)


def mean_over_folds(metric: Metric, instances: Instances, folds: Sequence[FoldScores]) -> Statistic:
    """The statistic that is the mean over folds of the metric.

    Folds are evaluated separately and averaged, not pooled: scores of different candidates have
    different scales, so their ranking across folds is meaningless.
    """
    parts = [
        (fold.indices, metric.statistic(instances.subset(fold.indices), fold.scores))
        for fold in folds
    ]

    def mean(weights: Floats) -> Floats:
        means: Floats = np.mean(
            [statistic(weights[:, indices]) for indices, statistic in parts], axis=0
        )
        return means

    return mean


def estimate_jointly(
    instances: Instances,
    statistics: Mapping[str, Statistic],
    differences: Mapping[str, tuple[str, str]],
    settings: Resampling,
) -> dict[str, Estimate]:
    """The estimate of each statistic, all over the same resamples of patients.

    `differences` names further ones: the first of two statistics minus the second.
    """
    equal_weights = np.ones((1, len(instances)))
    batches: list[dict[str, Floats]] = []
    for weights in chain([equal_weights], patient_weights(instances.patients, settings)):
        values = {name: statistic(weights) for name, statistic in statistics.items()}
        values |= {
            name: values[ours] - values[theirs] for name, (ours, theirs) in differences.items()
        }
        batches.append(values)
    observed, *resampled = batches
    return {
        name: _estimate(
            float(value[0]), np.concatenate([batch[name] for batch in resampled]), settings
        )
        for name, value in observed.items()
    }


def delong_test_over_folds(
    instances: Instances, ours: Sequence[FoldScores], theirs: Sequence[FoldScores]
) -> FoldDeLongTest | None:
    """Tests whether two mean AUROCs over folds differ: DeLong's paired variances, summed.

    Folds have no patient in common; the choice of each fold is treated as fixed, and stays count
    as independent. None if a fold has fewer than two instances of an outcome.
    """
    labels = instances.labels
    differences, variances = [], []
    for our_fold, their_fold in zip(ours, theirs, strict=True):
        if labels is None or _smaller_class(labels[our_fold.indices]) < 2:
            return None
        scores = [our_fold.scores.scores, their_fold.scores.scores]
        areas, covariance = delong_covariance(labels[our_fold.indices], scores)
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
    return FoldDeLongTest(z, math.erfc(abs(z) / math.sqrt(2)))


def randomisation_test_over_folds(
    metric: Metric,
    instances: Instances,
    ours: Sequence[FoldScores],
    theirs: Sequence[FoldScores],
    seed: int = 0,
) -> Randomisation | None:
    """Tests whether two means differ: the paired randomisation test over all folds.

    The two sums of each patient (query, text) are exchanged at random; each score has the weight
    that it has in the mean over folds. For perplexity the mean loss per token is tested. The
    choice of each fold is treated as fixed. None if the metric is not a mean.
    """
    if metric.needs_both_outcomes:
        return None
    weights = np.zeros(len(instances))
    sides = np.zeros((2, len(instances)))
    for our_fold, their_fold in zip(ours, theirs, strict=True):
        indices, sizes = our_fold.indices, instances.sizes
        shares = np.ones(indices.size) if sizes is None else sizes[indices]
        weights[indices] = shares / shares.sum()
        sides[0, indices] = our_fold.scores.scores
        sides[1, their_fold.indices] = their_fold.scores.scores
    _, unit_of = np.unique(instances.patients, return_inverse=True)
    left, right = (np.bincount(unit_of, weights * side).astype(np.float64) for side in sides)
    return randomisation_test(left, right, seed=seed)


def win_rates(
    evaluator: CandidateEvaluator,
    metric: Metric,
    candidates: Sequence[Candidate],
    indices: Indices,
    settings: Resampling,
) -> dict[Candidate, float]:
    """The share of patient resamples in which each candidate is the best; sums to 1.

    All candidates are evaluated on the same instances. Resamples in which the metric is undefined
    are left out, and ties are shared.
    """
    instances = evaluator.instances.subset(indices)
    statistics = {
        candidate: metric.statistic(instances, scores)
        for candidate in candidates
        if (scores := evaluator.score(candidate, indices)) is not None
    }
    base = sampling_weights(evaluator.instances, evaluator.instances.all_indices, indices)
    wins, counted = np.zeros(len(statistics)), 0
    for weights in patient_weights(instances.patients, settings):
        weighted = weights * base if metric.needs_both_outcomes else weights
        values = value_to_maximise(metric, 1.0) * np.array(
            [statistic(weighted) for statistic in statistics.values()]
        )
        values = values[:, np.isfinite(values).all(axis=0)]
        best = values >= values.max(axis=0, initial=-np.inf) - 1e-12
        wins += (best / best.sum(axis=0)).sum(axis=1)
        counted += values.shape[1]
    shares = (wins / max(1, counted)).tolist()
    return dict(zip(statistics, shares, strict=True))


def _estimate(value: float, resampled: Floats, settings: Resampling) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    error = float(defined.std(ddof=1)) if defined.size > 1 else None
    return Estimate(value, percentile_interval(resampled, settings.level), error)


def _smaller_class(labels: npt.NDArray[np.bool_]) -> int:
    return int(min(np.count_nonzero(labels), np.count_nonzero(~labels)))
