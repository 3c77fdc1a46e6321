"""Successive halving over patients: all candidates on few of them, the best on more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from evaluator.selection.candidates import Candidate, distinct, steps
from evaluator.selection.instances import Instances, Places
from evaluator.selection.ledger import Ledger
from evaluator.selection.metrics import Metric, figure, gain
from patientdx.errors import EvaluationError

from .search import Search, Tried, best_of, class_weights, everything_failed


class Round(NamedTuple):
    """So many candidates, the best so far, on so many instances."""

    candidates: int
    instances: int


@dataclass(frozen=True)
class Halving:
    """Spends `share` of the grid's evaluations (Karnin et al. 2013, Jamieson & Talwalkar 2016).

    Here an arm is a candidate and a pull an instance, with two changes that the setting allows.
    Every candidate of a round is scored on the same instances, so that comparisons are paired:
    what makes a patient hard for all candidates cancels. And instances come in an order that
    gives both outcomes alike as long as there are deaths left: AUROC does not depend on
    prevalence, and its variance, about (1 / deaths + 1 / survivors) / 12, is least for a given
    number of instances where both are as many (for AUPRC, instances weigh by what they stand
    for). Nothing is assumed about how the metric runs along λ.

    Each round keeps the better `keep` of the candidates, down to two. The instances of a round
    of k candidates are proportional to k ** -`growth`, as many as the budget allows: at 1 every
    round would judge by as many scores in all; a little more, which spends less on candidates
    that will not stay, did best in simulations like those of benchmarks/halving.py. The first round
    has `least` instances or more, so that on very small cohorts the budget is exceeded.

    The order of the instances follows from `seed` and the patients' ids alone: a part of a cohort
    is gone through in the same order as the whole, so that a nested search finds much of what it
    needs among the scores of the whole.
    """

    candidates: tuple[Candidate, ...] = steps()
    share: float = 0.3
    keep: float = 0.6
    growth: float = 1.2
    least: int = 20
    seed: int = 0
    name: str = "halving"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.keep < 1 or self.growth < 0 or self.least < 2:
            raise EvaluationError("halving needs shares between 0 and 1, and two instances or more")

    def search(self, ledger: Ledger, metric: Metric, places: Places) -> Search:
        """See Strategy. A later round decides among the candidates that came so far."""
        live = list(distinct(self.candidates))
        order = in_turn(ledger.instances, places, self.seed, by_class=metric.by_class)
        latest: dict[Candidate, Tried] = {}
        shared = order
        for turn in self.rounds(len(live), places.size):
            live = _better(metric, live, latest, turn.candidates)
            some = order[: turn.instances]
            shared = some if some.size < shared.size else shared
            for one in list(live):
                tried = _judged(ledger, metric, one, some, places)
                if tried is None:
                    live.remove(one)
                    latest.pop(one, None)
                else:
                    latest[one] = tried
        return self._summary(metric, live, latest, shared, places.size)

    def rounds(self, candidates: int, instances: int) -> list[Round]:
        """How many candidates meet how many instances, round by round; both never turn back."""
        sizes = [candidates]
        while sizes[-1] > 2:
            sizes.append(max(2, min(math.ceil(self.keep * sizes[-1]), sizes[-1] - 1)))
        budget = self.share * candidates * instances
        least = min(self.least, instances)
        fitting = [
            first
            for first in range(least, instances + 1)
            if _cost(self._reached(sizes, first, instances)) <= budget
        ]
        found = self._reached(sizes, max(fitting, default=least), instances)
        last, spare = found[-1], max(0, int(budget) - _cost(found))
        more = min(instances, last.instances + spare // last.candidates)
        return [*found[:-1], Round(last.candidates, more)]

    def _reached(self, sizes: Sequence[int], first: int, instances: int) -> list[Round]:
        """The rounds whose first has so many instances."""
        return [
            Round(size, min(instances, int(first * (sizes[0] / size) ** self.growth)))
            for size in sizes
        ]

    def _summary(
        self,
        metric: Metric,
        live: Sequence[Candidate],
        latest: dict[Candidate, Tried],
        shared: Places,
        size: int,
    ) -> Search:
        if not live:
            raise everything_failed()
        finalists = [latest[one].value for one in live]
        tried = tuple(latest[one] for one in self.candidates if one in latest)
        return Search(
            strategy=self.name,
            metric=metric.name,
            chosen=live[best_of(metric, finalists)],
            tried=tried,
            failed=tuple(one for one in self.candidates if one not in latest),
            shared=shared,
            evaluations=sum(one.places.size for one in tried),
            exhaustive=len(self.candidates) * size,
            possible=len(self.candidates),
        )


def _cost(rounds: Sequence[Round]) -> int:
    """Scores needed: candidates of a round have met the instances of the round before."""
    met = [0, *(one.instances for one in rounds)]
    return sum(
        one.candidates * (one.instances - before) for one, before in zip(rounds, met, strict=False)
    )


def in_turn(instances: Instances, places: Places, seed: int, *, by_class: bool) -> Places:
    """The places in an order that depends on seed and patients alone.

    With `by_class`, deaths and survivors take turns until one of them has run out.
    """
    ranks = np.array([_rank(one, seed) for one in instances.patients[places].tolist()], np.uint64)
    order = places[np.argsort(ranks, kind="stable")]
    if not by_class or instances.labels is None:
        return order
    died, lived = order[instances.labels[order]], order[~instances.labels[order]]
    turns = np.r_[2 * np.arange(died.size), 2 * np.arange(lived.size) + 1]
    return np.concatenate([died, lived])[np.argsort(turns, kind="stable")]


def _rank(patient: str, seed: int) -> int:
    digest = blake2b(f"{seed} {patient}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _better(
    metric: Metric, live: list[Candidate], latest: dict[Candidate, Tried], number: int
) -> list[Candidate]:
    """The better ones so far, in their own order; all of them before anything is known."""
    if not latest:
        return live
    best = sorted(live, key=lambda one: -gain(metric, latest[one].value))[:number]
    return [one for one in live if one in best]


def _judged(
    ledger: Ledger, metric: Metric, candidate: Candidate, places: Places, whole: Places
) -> Tried | None:
    ratings = ledger.rate(candidate, places)
    if ratings is None:
        return None
    instances = ledger.instances
    weights = class_weights(instances, whole, places) if metric.by_class else None
    value = figure(metric, instances.at(places), ratings, weights)
    return Tried(candidate, value, places)
