"""Proxies: whether a figure that is cheap to measure ranks the candidates as the metric does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate
from evaluator.selection.estimates import Estimate
from evaluator.selection.instances import (
    Floats,
    Indices,
    Instances,
    InstanceScores,
    sampling_weights,
)
from evaluator.selection.metrics import MeanMetric, Metric
from evaluator.selection.strategies.strategy import StrategyResult
from evaluator.statistics.bootstrap import (
    Resampling,
    Statistic,
    patient_weights,
    percentile_interval,
)
from evaluator.statistics.rank_correlation import kendall, spearman

from .retention import RetentionCurve

LEAST_CANDIDATES = 3
"""Fewer candidates have no ranking to speak of."""


@dataclass(frozen=True)
class AnswerEntropy:
    """The mean entropy of yes and no in bits, by the log-odds of yes; it needs no labels."""

    name: str = "entropy of yes/no"
    lower_is_better: bool = True
    needs_both_outcomes: bool = False

    def statistic(self, instances: Instances, scores: InstanceScores) -> Statistic:
        """See Metric."""
        distance = np.abs(scores.scores)
        rare = np.exp(-distance)  # odds of the less likely answer
        entropies = (np.log1p(rare) + distance * rare / (1 + rare)) / math.log(2)
        return MeanMetric(self.name).statistic(instances, InstanceScores(entropies))


ANSWER_ENTROPY: Metric = AnswerEntropy()


@dataclass(frozen=True)
class ProxyCorrelation:
    """The rank correlations of a proxy with the metric over candidates, and the proxy's values.

    Intervals resample patients, by whom the metric varies; neighbouring λ are no independent
    observations. A correlation is None where it is undefined: all values are equal.
    """

    name: str
    values: Mapping[Candidate, float]
    spearman: Estimate | None
    kendall: Estimate | None


def correlate_proxies(
    evaluator: CandidateEvaluator,
    metric: Metric,
    search: StrategyResult,
    proxies: Sequence[Metric],
    curves: Sequence[RetentionCurve],
    resampling: Resampling,
) -> tuple[ProxyCorrelation, ...]:
    """The correlation of each proxy, and of each retention figure, with the metric.

    All candidates count on the same instances, those that every trial of the search has scored;
    proxies are resampled with the metric, retention figures, which are of other instances, stay
    as they are. Empty for fewer than three candidates.
    """
    scores = {
        trial.candidate: known
        for trial in search.trials
        if (known := evaluator.score(trial.candidate, search.shared)) is not None
    }
    if len(scores) < LEAST_CANDIDATES or not (proxies or curves):
        return ()
    metrics = (metric, *proxies)
    values = dict(
        zip(metrics, _resample(evaluator, metrics, scores, search.shared, resampling), strict=True)
    )
    pairs = [(proxy.name, list(scores), values[metric], values[proxy]) for proxy in proxies]
    pairs += [_fixed_values(curve, list(scores), values[metric]) for curve in curves]
    return tuple(
        _correlate(name, candidates, decisive, proxy, resampling.level)
        for name, candidates, decisive, proxy in pairs
        if len(candidates) >= LEAST_CANDIDATES
    )


def _resample(
    evaluator: CandidateEvaluator,
    metrics: Sequence[Metric],
    scores: Mapping[Candidate, InstanceScores],
    indices: Indices,
    resampling: Resampling,
) -> list[Floats]:
    """For each metric its values by candidate (columns): as they are, then in each resample."""
    instances = evaluator.instances.subset(indices)
    base = sampling_weights(evaluator.instances, evaluator.instances.all_indices, indices)
    statistics = [
        [metric.statistic(instances, known) for known in scores.values()] for metric in metrics
    ]
    rows: list[list[Floats]] = [[] for _ in metrics]
    observed = np.ones((1, len(instances)))
    for weights in chain([observed], patient_weights(instances.patients, resampling)):
        for metric, columns, batches in zip(metrics, statistics, rows, strict=True):
            batch = weights * base if metric.needs_both_outcomes else weights
            batches.append(np.stack([column(batch) for column in columns], axis=1))
    return [np.concatenate(batches) for batches in rows]


def _fixed_values(
    curve: RetentionCurve, candidates: Sequence[Candidate], values: Floats
) -> tuple[str, list[Candidate], Floats, Floats]:
    """The candidates that a curve has, their metric, and the curve's figures, alike in all rows."""
    figures = {
        candidate: estimate.value
        for candidate in candidates
        if (estimate := curve.at(candidate)) is not None
    }
    columns = [column for column, candidate in enumerate(candidates) if candidate in figures]
    rows = np.broadcast_to(list(figures.values()), (len(values), len(figures)))
    return curve.name, list(figures), values[:, columns], rows


def _correlate(
    name: str, candidates: Sequence[Candidate], values: Floats, proxy: Floats, level: float
) -> ProxyCorrelation:
    """The correlations of the first row, and their intervals over the others."""
    estimates: list[Estimate | None] = []
    for correlation in (spearman, kendall):
        correlations = correlation(proxy, values)
        observed = float(correlations[0])
        interval = percentile_interval(correlations[1:], level)
        estimates.append(Estimate(observed, interval) if math.isfinite(observed) else None)
    measured = dict(zip(candidates, proxy[0].tolist(), strict=True))
    return ProxyCorrelation(name, measured, *estimates)
