"""What a strategy of search is, what it finds, and the plain one: every candidate on everybody."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evaluator.selection.candidates import Candidate, distinct, steps
from evaluator.selection.instances import Floats, Instances, Places
from evaluator.selection.ledger import Ledger
from evaluator.selection.metrics import Metric, figure, gain
from patientdx.errors import EvaluationError

_NOISE = 1e-12
"""Rounding error of a figure; candidates that differ by no more are equally good."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate, the instances that it was judged on last, and its metric there."""

    candidate: Candidate
    value: float
    places: Places


@dataclass(frozen=True, eq=False)
class Search:
    """What a strategy found: its choice, and what it knew of every candidate that it tried.

    `shared` are the instances that all tried candidates were scored on, `failed` those
    candidates that gave scores that are not finite, `evaluations` the number of scores needed,
    `exhaustive` how many all candidates on all instances would have needed. `possible` is the
    number of candidates that might have been chosen, whatever the instances had been like.
    """

    strategy: str
    metric: str
    chosen: Candidate
    tried: tuple[Tried, ...]
    failed: tuple[Candidate, ...]
    shared: Places
    evaluations: int
    exhaustive: int
    possible: int

    @property
    def value(self) -> float:
        """The metric of the choice, on the instances that it was chosen by: flattering."""
        return next(one.value for one in self.tried if one.candidate == self.chosen)


class Strategy(Protocol):
    """A way to search."""

    @property
    def name(self) -> str:
        """Its name, for people and files."""
        ...

    def search(self, ledger: Ledger, metric: Metric, places: Places) -> Search:
        """Chooses by the instances at `places` only.

        Candidates that fail are left out. Raises EvaluationError where all of them do, and where
        the metric is undefined.
        """
        ...


@dataclass(frozen=True)
class GridSearch:
    """Every candidate on every instance: the paper's search, by default λ in steps of 0.1."""

    candidates: tuple[Candidate, ...] = steps()
    name: str = "grid"

    def search(self, ledger: Ledger, metric: Metric, places: Places) -> Search:
        """See Strategy. Of equally good candidates the first is chosen."""
        candidates = distinct(self.candidates)
        found = [measured(ledger, metric, one, places) for one in candidates]
        number = len(candidates)
        return summary(self.name, metric, found, candidates, number * places.size, number)


def measured(ledger: Ledger, metric: Metric, candidate: Candidate, places: Places) -> Tried | None:
    """The metric of a candidate on some instances; None where it fails.

    Where those are a sample by outcome of a larger set, give their weights to `figure` instead.
    """
    ratings = ledger.rate(candidate, places)
    if ratings is None:
        return None
    value = figure(metric, ledger.instances.at(places), ratings)
    return Tried(candidate, value, places)


def summary(
    strategy: str,
    metric: Metric,
    found: Sequence[Tried | None],
    candidates: Iterable[Candidate],
    exhaustive: int,
    possible: int,
) -> Search:
    """A search all of whose candidates were judged on the same instances."""
    tried = tuple(one for one in found if one is not None)
    if not tried:
        raise everything_failed()
    kept = {one.candidate for one in tried}
    return Search(
        strategy=strategy,
        metric=metric.name,
        chosen=tried[best_of(metric, [one.value for one in tried])].candidate,
        tried=tried,
        failed=tuple(one for one in candidates if one not in kept),
        shared=tried[0].places,
        evaluations=len(tried) * tried[0].places.size,
        exhaustive=exhaustive,
        possible=possible,
    )


def best_of(metric: Metric, values: Sequence[float] | Floats) -> int:
    """The place of the best value, the first of those that are equal but for rounding."""
    gains = [gain(metric, value) for value in values]
    if any(math.isnan(one) for one in gains):
        raise EvaluationError(f"`{metric.name}` is undefined on these instances")
    least = max(gains) - _NOISE * max(1.0, abs(max(gains)))
    return next(place for place, one in enumerate(gains) if one >= least)


def everything_failed() -> EvaluationError:
    """What is said where no candidate gave finite scores."""
    return EvaluationError(
        "every candidate gave scores that are not finite",
        hint="check the two models on their own first: evaluate-mortality",
    )


def class_weights(instances: Instances, whole: Places, places: Places) -> Floats:
    """What each instance of a sample by outcome stands for in `whole`, shape (len(places),).

    Inverse sampling probabilities (Horvitz & Thompson 1952): with them AUPRC, which depends on
    prevalence, refers to the whole. AUROC does not depend on it.
    """
    if instances.labels is None:
        return np.ones(places.size)
    weights = np.ones(places.size)
    for label in (False, True):
        mine = instances.labels[places] == label
        if mine.any():
            weights[mine] = np.count_nonzero(instances.labels[whole] == label) / mine.sum()
    return weights
