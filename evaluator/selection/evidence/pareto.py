"""The Pareto front: which candidates are best in the metric for what they retain."""

from typing import NamedTuple

from evaluator.selection.candidates import Candidate
from evaluator.selection.estimates import Estimate
from evaluator.selection.metrics import value_to_maximise
from evaluator.selection.nested_selection import Selection

from .retention import RetentionCurve


class ParetoPoint(NamedTuple):
    """A candidate's metric and retention; `on_front` if no candidate is better in both.

    "Better" is at least as good in both and better in one of them.
    """

    candidate: Candidate
    metric: Estimate
    retention: Estimate
    on_front: bool


def retention_candidates(selection: Selection) -> tuple[Candidate, ...]:
    """The candidates whose retention counts: all that were tried, then further controls."""
    tried = (trial.candidate for trial in selection.search.trials)
    controls = (contrast.baseline for contrast in selection.contrasts)
    return tuple(dict.fromkeys((*tried, *controls)))


def pareto_points(selection: Selection, curve: RetentionCurve) -> tuple[ParetoPoint, ...]:
    """The candidates with both figures, in the order of their retention candidates.

    The metric is that on all instances that the search scored a candidate on; for a control that
    the search did not try, the mean over folds.
    """
    estimates = {
        contrast.baseline: contrast.value
        for contrast in selection.contrasts
        if contrast.value is not None
    }
    estimates |= {point.candidate: point.estimate for point in selection.curves[selection.metric]}
    points = [
        (candidate, estimates[candidate], retention)
        for candidate in retention_candidates(selection)
        if candidate in estimates and (retention := curve.at(candidate)) is not None
    ]
    merits = [
        (value_to_maximise(selection, metric.value), value_to_maximise(curve, retention.value))
        for _, metric, retention in points
    ]
    return tuple(
        ParetoPoint(*point, not any(_dominates(other, merit) for other in merits))
        for point, merit in zip(points, merits, strict=True)
    )


def best_retaining_input(selection: Selection, curve: RetentionCurve) -> Candidate | None:
    """The single input whose retention is best; None if no input has any."""
    values = {
        contrast.baseline: value_to_maximise(curve, estimate.value)
        for contrast in selection.contrasts
        if contrast.is_input and (estimate := curve.at(contrast.baseline)) is not None
    }
    return max(values, key=values.__getitem__, default=None)


def _dominates(other: tuple[float, float], merit: tuple[float, float]) -> bool:
    return other[0] >= merit[0] and other[1] >= merit[1] and other != merit
