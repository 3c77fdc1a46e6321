"""The metrics that λ can be chosen by, for each kind of instances.

To add a metric of stays, write it in `metrics.py` and list it in `MORTALITY_METRICS`. To add a
metric of another kind of instances, add a row to `METRIC_KINDS`: the default metric, and a
function that builds a metric from its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from patientdx.errors import EvaluationError

from .metrics import MORTALITY_METRICS, Metric, Perplexity
from .queries import retrieval_metric


@dataclass(frozen=True)
class MetricOptions:
    """Options of metrics: `depth` is the number of hits that retrieval measures may read."""

    depth: int = 1000


@dataclass(frozen=True)
class MetricKind:
    """The metrics of one kind of instances: the default name, and how to build one by name."""

    default: str
    build: Callable[[str, MetricOptions], Metric]


def build_metric(
    kind: str, name: str | None = None, options: MetricOptions = MetricOptions()
) -> Metric:
    """The metric of a kind of instances (`stays`, `queries` or `texts`), by default its first.

    Raises EvaluationError for an unknown kind, for a metric that the kind does not have, and for
    a retrieval measure that reads more than `options.depth` hits.
    """
    if kind not in METRIC_KINDS:
        raise EvaluationError(
            f"`{kind}` is not a kind of instances", hint=f"kinds are {', '.join(METRIC_KINDS)}"
        )
    entry = METRIC_KINDS[kind]
    return entry.build(name or entry.default, options)


def _mortality_metric(name: str, _: MetricOptions) -> Metric:
    if name not in MORTALITY_METRICS:
        raise EvaluationError(
            f"`{name}` is not a metric of mortality",
            hint=f"metrics are {', '.join(MORTALITY_METRICS)}",
        )
    return MORTALITY_METRICS[name]


def _retrieval_metric(name: str, options: MetricOptions) -> Metric:
    return retrieval_metric(name, options.depth)


def _text_metric(name: str, _: MetricOptions) -> Metric:
    metric = Perplexity()
    if name != metric.name:
        raise EvaluationError(
            f"`{name}` is not a metric of texts", hint=f"the metric of texts is {metric.name}"
        )
    return metric


METRIC_KINDS: Mapping[str, MetricKind] = MappingProxyType(
    {
        "stays": MetricKind("auroc", _mortality_metric),
        "queries": MetricKind("nDCG@10", _retrieval_metric),
        "texts": MetricKind("perplexity", _text_metric),
    }
)
"""Kind of instances -> its metrics."""
