"""Retention: what candidates still do on other texts or tasks, beside the metric that decides."""

from collections.abc import Iterable
from dataclasses import dataclass

from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate
from evaluator.selection.estimates import CandidateEstimate, Estimate, estimate_candidate
from evaluator.selection.metrics import Metric
from evaluator.statistics.bootstrap import Resampling


@dataclass(frozen=True)
class RetentionCurve:
    """A figure of every candidate that is measured beside the metric, such as a perplexity.

    `name` is that of the figure, `unit` the plural noun for what it is measured on. Candidates
    whose scores are not finite have no point.
    """

    name: str
    unit: str
    lower_is_better: bool
    points: tuple[CandidateEstimate, ...]

    def at(self, candidate: Candidate) -> Estimate | None:
        """The figure of a candidate; None if it has none."""
        return next((point.estimate for point in self.points if point.candidate == candidate), None)


def measure_retention(
    name: str,
    evaluator: CandidateEvaluator,
    metric: Metric,
    candidates: Iterable[Candidate],
    resampling: Resampling,
) -> RetentionCurve:
    """The curve of a metric over candidates, all on every instance of an evaluator."""
    everything = evaluator.instances.all_indices
    points = [
        estimate_candidate(evaluator, metric, candidate, everything, resampling)
        for candidate in candidates
    ]
    known = tuple(point for point in points if point is not None)
    return RetentionCurve(name, evaluator.instances.unit, metric.lower_is_better, known)
