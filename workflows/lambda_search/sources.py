"""What merges are judged by: the protocol of all sources of instances."""

from contextlib import AbstractContextManager
from typing import Protocol

from evaluator.selection import CandidateEvaluator, Instances, Metric

from .live_merges import LiveMerge


class InstanceSource(Protocol):
    """Instances that merges are scored on, and the metric that decides among merges."""

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        ...

    @property
    def curves(self) -> "tuple[Metric, ...]":
        """Further metrics, shown along λ."""
        ...

    @property
    def proxies(self) -> "tuple[Metric, ...]":
        """Figures of the same scores that need no labels, whose ranking of λ is compared."""
        ...

    @property
    def instances(self) -> Instances:
        """The instances that are split into folds; sizes may be missing before a model is open."""
        ...

    def notes(self) -> dict[str, str]:
        """Facts about the instances, for notes below tables."""
        ...

    def open_evaluator(self, live: LiveMerge) -> AbstractContextManager[CandidateEvaluator]:
        """An evaluator over a live merge, whose scores are kept on disk as they come."""
        ...
