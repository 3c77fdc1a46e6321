"""What a search makes the most of: areas over scores and labels, or means over instances."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from evaluator.statistics.bootstrap import Statistic, balanced_accuracy, weighted_mean
from evaluator.statistics.discrimination import Ordered, need_both
from patientdx.errors import EvaluationError

from .instances import Floats, Instances, Ratings


class Metric(Protocol):
    """A figure of a candidate.

    `by_class` tells that it needs instances of both outcomes. Where `falling`, less is better.
    """

    @property
    def name(self) -> str:
        """Its name, for people and files."""
        ...

    @property
    def by_class(self) -> bool:
        """Whether it needs both outcomes."""
        ...

    @property
    def falling(self) -> bool:
        """Whether less is better."""
        ...

    def statistic(self, instances: Instances, ratings: Ratings) -> Statistic:
        """Weights of the instances (rows, n) into figures (rows,). Raises EvaluationError."""
        ...


@dataclass(frozen=True)
class _Area:
    """A metric of mortality."""

    name: str
    by_class: bool = True
    falling: bool = False

    def statistic(self, instances: Instances, ratings: Ratings) -> Statistic:
        """See Metric."""
        if instances.labels is None:
            raise EvaluationError(f"`{self.name}` needs instances with an outcome")
        need_both(instances.labels, self.name)
        if self.name == "auroc-hard":
            return balanced_accuracy(instances.labels, _answers(ratings))
        ordered = Ordered.of(instances.labels, ratings.scores)
        return ordered.auroc if self.name == "auroc" else ordered.average_precision


@dataclass(frozen=True)
class MeanMetric:
    """The mean of a value that each instance has, such as nDCG@10 of a query."""

    name: str
    falling: bool = False
    by_class: bool = False

    def statistic(self, instances: Instances, ratings: Ratings) -> Statistic:
        """See Metric; instances count by their sizes, where they have any."""
        if instances.sizes is None:
            return weighted_mean(ratings.scores)
        return _sized_mean(instances.sizes, ratings.scores)


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean loss a token; scores are mean losses of texts, sizes their tokens."""

    name: str = "perplexity"
    falling: bool = True
    by_class: bool = False

    def statistic(self, instances: Instances, ratings: Ratings) -> Statistic:
        """See Metric."""
        if instances.sizes is None:
            raise EvaluationError("`perplexity` needs the number of tokens of each text")
        mean = _sized_mean(instances.sizes, ratings.scores)
        return lambda weights: np.exp(mean(weights))


AUROC: Metric = _Area("auroc")
AUROC_HARD: Metric = _Area("auroc-hard")
AUPRC: Metric = _Area("auprc")
METRICS: Mapping[str, Metric] = MappingProxyType(
    {one.name: one for one in (AUROC, AUROC_HARD, AUPRC)}
)
"""The metrics of mortality by name."""


def metric_named(name: str) -> Metric:
    """Raises EvaluationError for a name that is not among `METRICS`."""
    if name not in METRICS:
        raise EvaluationError(
            f"`{name}` is no metric of mortality", hint=f"metrics are {', '.join(METRICS)}"
        )
    return METRICS[name]


def figure(
    metric: Metric, instances: Instances, ratings: Ratings, weights: Floats | None = None
) -> float:
    """The metric of one candidate; nan where it is undefined."""
    whole = np.ones(len(instances)) if weights is None else weights
    return float(metric.statistic(instances, ratings)(whole[None, :])[0])


def gain(metric: Metric, value: float) -> float:
    """The value, turned so that more is better."""
    return -value if metric.falling else value


def _answers(ratings: Ratings) -> Floats:
    if ratings.answers is None:
        raise EvaluationError(
            "`auroc-hard` needs yes/no answers, which the scorer does not give",
            hint="choose by auroc or auprc",
        )
    return ratings.answers


def _sized_mean(sizes: Floats, values: Floats) -> Statistic:
    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan where a resample has none of a fold
            found: Floats = weights @ (sizes * values) / (weights @ sizes)
        return found

    return mean
