"""Metrics that candidates are chosen by: areas over scores and labels, or means over instances."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from evaluator.statistics.bootstrap import Statistic, balanced_accuracy, weighted_mean
from evaluator.statistics.discrimination import RankedLabels, require_both_classes
from patientdx.errors import EvaluationError

from .instances import Floats, Instances, InstanceScores


class Directed(Protocol):
    """A figure that is better the higher it is, or the lower."""

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller values are better."""
        ...


class Metric(Directed, Protocol):
    """A figure of merit of a candidate."""

    @property
    def name(self) -> str:
        """The metric's name in reports and files."""
        ...

    @property
    def needs_both_outcomes(self) -> bool:
        """Whether the metric is undefined on instances of a single outcome."""
        ...

    def statistic(self, instances: Instances, scores: InstanceScores) -> Statistic:
        """Maps weights of the instances (rows, n) to metric values (rows,).

        Raises EvaluationError where the metric is undefined.
        """
        ...


@dataclass(frozen=True)
class _Area:
    """A metric of mortality prediction."""

    name: str
    needs_both_outcomes: bool = True
    lower_is_better: bool = False

    def statistic(self, instances: Instances, scores: InstanceScores) -> Statistic:
        """See Metric."""
        if instances.labels is None:
            raise EvaluationError(f"`{self.name}` needs instances with an outcome")
        require_both_classes(instances.labels, self.name)
        if self.name == "auroc-hard":
            return balanced_accuracy(instances.labels, _answers(scores))
        ordered = RankedLabels.from_scores(instances.labels, scores.scores)
        return ordered.auroc if self.name == "auroc" else ordered.average_precision


@dataclass(frozen=True)
class MeanMetric:
    """The mean of a value that each instance has, such as nDCG@10 of a query."""

    name: str
    lower_is_better: bool = False
    needs_both_outcomes: bool = False

    def statistic(self, instances: Instances, scores: InstanceScores) -> Statistic:
        """See Metric; instances are weighted by their sizes if they have any."""
        if instances.sizes is None:
            return weighted_mean(scores.scores)
        return _size_weighted_mean(instances.sizes, scores.scores)


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean loss per token; scores are mean losses of texts, sizes their tokens."""

    name: str = "perplexity"
    lower_is_better: bool = True
    needs_both_outcomes: bool = False

    def statistic(self, instances: Instances, scores: InstanceScores) -> Statistic:
        """See Metric."""
        if instances.sizes is None:
            raise EvaluationError("`perplexity` needs the number of tokens of each text")
        mean = _size_weighted_mean(instances.sizes, scores.scores)
        return lambda weights: np.exp(mean(weights))


AUROC: Metric = _Area("auroc")
AUROC_HARD: Metric = _Area("auroc-hard")
AUPRC: Metric = _Area("auprc")
MORTALITY_METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metric in (AUROC, AUROC_HARD, AUPRC)}
)
"""The metrics of mortality prediction by name."""


def metric_value(
    metric: Metric, instances: Instances, scores: InstanceScores, weights: Floats | None = None
) -> float:
    """The metric of a candidate, by default with equal weights; nan where it is undefined."""
    row = np.ones(len(instances)) if weights is None else weights
    return float(metric.statistic(instances, scores)(row[None, :])[0])


def value_to_maximise(figure: Directed, value: float) -> float:
    """A value of a figure, negated if lower is better, so that the greatest is best."""
    return -value if figure.lower_is_better else value


def _answers(scores: InstanceScores) -> Floats:
    if scores.answers is None:
        raise EvaluationError(
            "`auroc-hard` needs yes/no answers, which the scorer does not give",
            hint="choose by auroc or auprc",
        )
    return scores.answers


def _size_weighted_mean(sizes: Floats, values: Floats) -> Statistic:
    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan where a resample has no instance of a fold
            means: Floats = weights @ (sizes * values) / (weights @ sizes)
        return means

    return mean
