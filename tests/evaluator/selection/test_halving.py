"""Halving: how little it spends, how near its choice is to the grid's, and how it goes about."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from simulated_merges import GRID, SHAPES, Simulated, simulated

from evaluator.selection import (
    AUPRC,
    AUROC,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Indices,
    Instances,
    InstanceScorer,
    InstanceScores,
    MeanMetric,
    StrategyResult,
    SuccessiveHalving,
)
from evaluator.selection.instances import sampling_weights
from evaluator.selection.metrics import metric_value
from evaluator.selection.strategies.halving import HalvingRound, scoring_order
from evaluator.statistics.discrimination import average_precision
from patientdx.errors import EvaluationError

RUNS = 200
MARGIN = 0.02


def searched(cohort: Simulated) -> tuple[StrategyResult, StrategyResult]:
    """By the grid and by halving, each on scores of its own."""
    everywhere = np.arange(cohort.died.size)
    return (
        GridSearch().search(cohort.evaluator(), AUROC, everywhere),
        SuccessiveHalving().search(cohort.evaluator(), AUROC, everywhere),
    )


@pytest.mark.slow
def test_the_choice_is_as_good_as_the_grid_s_for_three_tenths_of_its_scores() -> None:
    """Over five shapes of the curve, with the peak anywhere; 2,000 runs: benchmarks/halving.py."""
    losses = []
    for run in range(RUNS):
        cohort = simulated(run, list(SHAPES)[run % len(SHAPES)])
        grid, halving = searched(cohort)
        assert halving.evaluations <= 0.3 * grid.evaluations
        losses.append(cohort.truth(grid.chosen) - cohort.truth(halving.chosen))
    assert np.mean(np.array(losses) <= MARGIN) >= 0.95


@pytest.mark.parametrize(("candidates", "instances"), [(11, 1000), (11, 300), (21, 4000), (2, 90)])
@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_rounds_keep_to_the_budget(candidates: int, instances: int, share: float) -> None:
    halving = SuccessiveHalving(share=share)
    rounds = halving.rounds(candidates, instances)
    met, spent = 0, 0
    for halving_round in rounds:
        assert halving_round.instances >= met
        spent += halving_round.candidates * (halving_round.instances - met)
        met = halving_round.instances
    assert rounds[0].candidates == candidates
    assert rounds[-1].candidates == 2
    assert rounds[-1].instances <= instances
    assert spent <= max(share * candidates * instances, candidates * halving.least * 3)
    if share * instances > 100:
        assert spent >= 0.95 * min(share * candidates * instances, _most(rounds, instances))


def _most(rounds: Sequence[HalvingRound], instances: int) -> int:
    return rounds[0].candidates * instances


def test_every_candidate_of_a_round_is_scored_on_the_same_patients() -> None:
    cohort = simulated(1)
    calls: list[tuple[Candidate, tuple[int, ...]]] = []

    def factory(candidate: Candidate) -> InstanceScorer:
        def score(indices: Indices) -> npt.NDArray[np.float64]:
            calls.append((candidate, tuple(indices.tolist())))
            return cohort.row(candidate)[indices]

        return score

    instances = Instances.build(range(1000), labels=cohort.died)
    result = SuccessiveHalving().search(
        CandidateEvaluator(factory, instances), AUROC, instances.all_indices
    )
    assert len({indices for _, indices in calls[:11]}) == 1
    assert sum(len(indices) for _, indices in calls) == result.evaluations
    by_candidate = {
        candidate: sum((p for c, p in calls if c == candidate), ()) for candidate, _ in calls
    }
    longest = max(by_candidate.values(), key=len)
    for indices in by_candidate.values():
        assert len(set(indices)) == len(indices)  # nothing twice
        assert longest[: len(indices)] == indices  # the sets are nested
    first = cohort.died[list(calls[0][1])]
    assert first.sum() * 2 == first.size


def test_deaths_and_survivors_take_turns_in_an_order_that_parts_share() -> None:
    died = np.random.default_rng(0).random(200) < 0.1
    instances = Instances.build([f"p{number}" for number in range(200)], labels=died)
    order = scoring_order(instances, instances.all_indices, 0, alternate_outcomes=True)
    deaths = int(died.sum())
    assert sorted(order) == list(range(200))
    assert died[order[: 2 * deaths]].tolist() == [True, False] * deaths
    part = np.arange(0, 200, 2)
    plain = scoring_order(instances, instances.all_indices, 0, alternate_outcomes=False)
    assert [index for index in plain if index in part] == list(
        scoring_order(instances, part, 0, alternate_outcomes=False)
    )
    assert list(scoring_order(instances, part, 1, alternate_outcomes=False)) != [
        index for index in plain if index in part
    ]


def test_stays_of_a_patient_come_together() -> None:
    names = [f"p{number // 3}" for number in range(30)]
    order = scoring_order(Instances.build(names), np.arange(30), 0, alternate_outcomes=False)
    assert [names[index] for index in order[::3]] == [names[index] for index in order[2::3]]


def test_auprc_of_a_sample_by_outcome_refers_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    died = rng.random(40_000) < 0.1
    scores = rng.normal(size=died.size) + 0.5 * died
    instances = Instances.build(range(died.size), labels=died)
    indices = scoring_order(instances, instances.all_indices, 0, alternate_outcomes=True)[:6000]
    some, ratings = instances.subset(indices), InstanceScores(scores[indices])
    weights = sampling_weights(instances, instances.all_indices, indices)
    whole = average_precision(died, scores)
    assert metric_value(AUPRC, some, ratings, weights) == pytest.approx(whole, abs=0.015)
    assert metric_value(AUPRC, some, ratings) > whole + 0.3
    assert weights.sum() == pytest.approx(died.size)


def test_a_candidate_that_fails_is_left_out_whenever_it_does() -> None:
    cohort = simulated(2)
    everywhere = np.arange(1000)
    best = SuccessiveHalving().search(cohort.evaluator(), AUROC, everywhere)
    late = next(trial for trial in best.trials if trial.candidate == best.chosen).indices[-1]
    broken = Simulated(cohort.died, cohort.scores.copy(), cohort.true)
    broken.scores[GRID.index(best.chosen), late] = np.nan
    broken.scores[GRID.index(best.trials[0].candidate), :] = np.inf
    result = SuccessiveHalving().search(broken.evaluator(), AUROC, everywhere)
    assert result.chosen not in {best.chosen, best.trials[0].candidate}
    assert set(result.failed) == {best.chosen, best.trials[0].candidate}


def test_everything_failing_is_reported() -> None:
    evaluator = CandidateEvaluator(
        lambda _: lambda indices: np.full(indices.shape, np.nan),
        Instances.build(range(9), labels=[1] * 3 + [0] * 6),
    )
    for strategy in (SuccessiveHalving(), GridSearch()):
        with pytest.raises(EvaluationError, match="not finite"):
            strategy.search(evaluator, AUROC, np.arange(9))


def test_metrics_of_instances_are_halved_too_and_less_may_be_better() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(np.abs(np.linspace(0, 1, 11) - 0.7)[:, None], 0.3, (11, 600))
    evaluator = CandidateEvaluator(
        lambda candidate: lambda indices: values[GRID.index(candidate)][indices],
        Instances.build(range(600)),
    )
    result = SuccessiveHalving().search(
        evaluator, MeanMetric("loss", lower_is_better=True), np.arange(600)
    )
    assert result.chosen.weight == pytest.approx(0.7, abs=0.11)


@pytest.mark.parametrize("bad", [{"share": 0}, {"share": 2}, {"keep": 1}, {"least": 1}])
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError):
        SuccessiveHalving(**bad)
