"""The protocol of search strategies, and the trials and results that they return."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate
from evaluator.selection.instances import Floats, Indices
from evaluator.selection.metrics import Metric, metric_value, value_to_maximise
from patientdx.errors import EvaluationError

_NOISE = 1e-12
"""Rounding error of a metric; candidates that differ by no more are equally good."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate, the instances that it was last evaluated on, and its metric on them."""

    candidate: Candidate
    value: float
    indices: Indices


@dataclass(frozen=True, eq=False)
class StrategyResult:
    """The chosen candidate of a search, and the trials behind the choice.

    `shared` are the instances that all trials have in common, `failed` the candidates with scores
    that are not finite. `evaluations` is the number of scores needed, `exhaustive` the number
    that all candidates on all instances would need. `possible` is the number of candidates that
    the search might have chosen, whatever the instances.
    """

    strategy: str
    metric: str
    chosen: Candidate
    trials: tuple[Trial, ...]
    failed: tuple[Candidate, ...]
    shared: Indices
    evaluations: int
    exhaustive: int
    possible: int

    @property
    def value(self) -> float:
        """The metric of the choice on the instances it was chosen by: biased upwards."""
        return next(trial.value for trial in self.trials if trial.candidate == self.chosen)


class Strategy(Protocol):
    """A way to search for the best candidate."""

    @property
    def name(self) -> str:
        """The strategy's name in reports and files."""
        ...

    def search(
        self, evaluator: CandidateEvaluator, metric: Metric, indices: Indices
    ) -> StrategyResult:
        """The best candidate by the instances at `indices` only.

        Candidates that fail are left out. Raises EvaluationError if all of them fail, and where
        the metric is undefined.
        """
        ...


def run_trial(
    evaluator: CandidateEvaluator,
    metric: Metric,
    candidate: Candidate,
    indices: Indices,
    weights: Floats | None = None,
) -> Trial | None:
    """Evaluates a candidate on some instances; None if it fails.

    `weights` are those of a sample by outcome (`sampling_weights`).
    """
    scores = evaluator.score(candidate, indices)
    if scores is None:
        return None
    value = metric_value(metric, evaluator.instances.subset(indices), scores, weights)
    return Trial(candidate, value, indices)


def summarise_trials(
    strategy: str,
    metric: Metric,
    trials: Sequence[Trial | None],
    candidates: Iterable[Candidate],
    exhaustive: int,
    possible: int,
) -> StrategyResult:
    """The result of a search whose trials all used the same instances; None is a failed trial."""
    completed = tuple(trial for trial in trials if trial is not None)
    if not completed:
        raise all_failed_error()
    successful = {trial.candidate for trial in completed}
    return StrategyResult(
        strategy=strategy,
        metric=metric.name,
        chosen=completed[best_index(metric, [trial.value for trial in completed])].candidate,
        trials=completed,
        failed=tuple(candidate for candidate in candidates if candidate not in successful),
        shared=completed[0].indices,
        evaluations=len(completed) * completed[0].indices.size,
        exhaustive=exhaustive,
        possible=possible,
    )


def best_index(metric: Metric, values: Sequence[float] | Floats) -> int:
    """The index of the best value; of values equal but for rounding, the first."""
    merits = [value_to_maximise(metric, value) for value in values]
    if any(math.isnan(merit) for merit in merits):
        raise EvaluationError(f"`{metric.name}` is undefined on these instances")
    threshold = max(merits) - _NOISE * max(1.0, abs(max(merits)))
    return next(index for index, merit in enumerate(merits) if merit >= threshold)


def all_failed_error() -> EvaluationError:
    """The error of a search in which no candidate has finite scores."""
    return EvaluationError(
        "every candidate gave scores that are not finite",
        hint="check the two models on their own first: evaluate-mortality",
    )
