"""Successive halving over patients: all candidates on a few patients, the best ones on more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate, lambda_grid, require_distinct
from evaluator.selection.instances import Indices, Instances, sampling_weights
from evaluator.selection.metrics import Metric, value_to_maximise
from patientdx.errors import EvaluationError

from .strategy import StrategyResult, Trial, all_failed_error, best_index, run_trial


class HalvingRound(NamedTuple):
    """Numbers of candidates left in a round and of the instances they are scored on."""

    candidates: int
    instances: int


@dataclass(frozen=True)
class SuccessiveHalving:
    """Spends `share` of the grid's evaluations (Karnin et al. 2013, Jamieson & Talwalkar 2016).

    Here an arm is a candidate and a pull an instance, with two changes that this setting allows.
    All candidates of a round are scored on the same instances, so that comparisons are paired:
    what makes a patient hard for all candidates cancels. And instances come in an order that
    alternates between the outcomes as long as there are deaths left: AUROC does not depend on
    prevalence, and its variance, about (1 / deaths + 1 / survivors) / 12, is least for a given
    number of instances when both outcomes are equally frequent (for AUPRC, instances are weighted
    by `sampling_weights`). Nothing is assumed about the shape of the metric along λ.

    Each round keeps the better `keep` of the candidates, down to two. The number of instances in
    a round of k candidates is proportional to k ** -`growth` and as large as the budget allows: at
    1 every round would use the same number of scores; a little more, which spends less on
    candidates that will be dropped, did best in simulations like those of benchmarks/halving.py.
    The first round has at least `least` instances, so very small cohorts exceed the budget.

    The order of the instances follows from `seed` and the patients' ids alone: part of a cohort
    is visited in the same order as the whole, so that a nested search finds many of the scores it
    needs among those of the whole.
    """

    candidates: tuple[Candidate, ...] = lambda_grid()
    share: float = 0.3
    keep: float = 0.6
    growth: float = 1.2
    least: int = 20
    seed: int = 0
    name: str = "halving"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.keep < 1 or self.growth < 0 or self.least < 2:
            raise EvaluationError("halving needs shares between 0 and 1, and two instances or more")

    def search(
        self, evaluator: CandidateEvaluator, metric: Metric, indices: Indices
    ) -> StrategyResult:
        """See Strategy. The last round decides among the candidates that reached it."""
        instances = evaluator.instances
        live = list(require_distinct(self.candidates))
        order = scoring_order(
            instances, indices, self.seed, alternate_outcomes=metric.needs_both_outcomes
        )
        latest: dict[Candidate, Trial] = {}
        shared = order
        for current in self.rounds(len(live), indices.size):
            live = _best_candidates(metric, live, latest, current.candidates)
            sample = order[: current.instances]
            shared = sample if sample.size < shared.size else shared
            weights = (
                sampling_weights(instances, indices, sample) if metric.needs_both_outcomes else None
            )
            for candidate in list(live):
                trial = run_trial(evaluator, metric, candidate, sample, weights)
                if trial is None:
                    live.remove(candidate)
                    latest.pop(candidate, None)
                else:
                    latest[candidate] = trial
        return self._summarise(metric, live, latest, shared, indices.size)

    def rounds(self, candidates: int, instances: int) -> list[HalvingRound]:
        """The rounds of a search: candidates never increase and instances never decrease."""
        sizes = [candidates]
        while sizes[-1] > 2:
            sizes.append(max(2, min(math.ceil(self.keep * sizes[-1]), sizes[-1] - 1)))
        budget = self.share * candidates * instances
        least = min(self.least, instances)
        affordable = [
            first
            for first in range(least, instances + 1)
            if _cost(self._rounds_from(sizes, first, instances)) <= budget
        ]
        rounds = self._rounds_from(sizes, max(affordable, default=least), instances)
        last, spare = rounds[-1], max(0, int(budget) - _cost(rounds))
        extended = min(instances, last.instances + spare // last.candidates)
        return [*rounds[:-1], HalvingRound(last.candidates, extended)]

    def _rounds_from(self, sizes: Sequence[int], first: int, instances: int) -> list[HalvingRound]:
        """The rounds of a search whose first round has `first` instances."""
        return [
            HalvingRound(size, min(instances, int(first * (sizes[0] / size) ** self.growth)))
            for size in sizes
        ]

    def _summarise(
        self,
        metric: Metric,
        live: Sequence[Candidate],
        latest: dict[Candidate, Trial],
        shared: Indices,
        instance_count: int,
    ) -> StrategyResult:
        if not live:
            raise all_failed_error()
        final_values = [latest[candidate].value for candidate in live]
        trials = tuple(latest[candidate] for candidate in self.candidates if candidate in latest)
        return StrategyResult(
            strategy=self.name,
            metric=metric.name,
            chosen=live[best_index(metric, final_values)],
            trials=trials,
            failed=tuple(candidate for candidate in self.candidates if candidate not in latest),
            shared=shared,
            evaluations=sum(trial.indices.size for trial in trials),
            exhaustive=len(self.candidates) * instance_count,
            possible=len(self.candidates),
        )


def scoring_order(
    instances: Instances, indices: Indices, seed: int, *, alternate_outcomes: bool
) -> Indices:
    """The indices in an order that depends on the seed and the patients alone.

    With `alternate_outcomes`, deaths and survivors alternate until one of them has run out.
    """
    hashes = np.array(
        [_hash(patient, seed) for patient in instances.patients[indices].tolist()], np.uint64
    )
    order = indices[np.argsort(hashes, kind="stable")]
    if not alternate_outcomes or instances.labels is None:
        return order
    died, lived = order[instances.labels[order]], order[~instances.labels[order]]
    turns = np.r_[2 * np.arange(died.size), 2 * np.arange(lived.size) + 1]
    return np.concatenate([died, lived])[np.argsort(turns, kind="stable")]


def _hash(patient: str, seed: int) -> int:
    digest = blake2b(f"{seed} {patient}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _cost(rounds: Sequence[HalvingRound]) -> int:
    """Scores needed: a round reuses its candidates' scores of the round before."""
    scored = [0, *(current.instances for current in rounds)]
    return sum(
        current.candidates * (current.instances - before)
        for current, before in zip(rounds, scored, strict=False)
    )


def _best_candidates(
    metric: Metric, live: list[Candidate], latest: dict[Candidate, Trial], number: int
) -> list[Candidate]:
    """The best candidates by their latest trials, in their own order; all before the first."""
    if not latest:
        return live
    best = sorted(live, key=lambda candidate: -value_to_maximise(metric, latest[candidate].value))[
        :number
    ]
    return [candidate for candidate in live if candidate in best]
