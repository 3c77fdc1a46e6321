"""The exponential mechanism: its sensitivity by brute force, its loss by drawing, its refusals."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from simulated_merges import GRID, simulated

from evaluator.selection import (
    AUPRC,
    AUROC,
    AUROC_HARD,
    Candidate,
    CandidateEvaluator,
    ExponentialMechanism,
    GridSearch,
    Instances,
    InstanceScorer,
    InstanceScores,
    MeanMetric,
    Metric,
    OptunaSearch,
    Perplexity,
    Strategy,
    SuccessiveHalving,
    bits_leaked,
    choose_privately,
    parse_epsilon,
    sensitivity,
)
from evaluator.selection.sensitivity import exact_utility, metric_sensitivity
from evaluator.statistics.discrimination import hard_auroc
from patientdx.errors import EvaluationError

DRAWS = 100_000
SIGMAS = 4.5
DIED = np.array([True] * 3 + [False] * 5)
Floats = npt.NDArray[np.float64]


def pairs_won(died: npt.NDArray[np.bool_], scores: Floats) -> Fraction:
    """AUROC by its definition, pair by pair."""
    pairs = list(itertools.product(scores[died], scores[~died]))
    wins = (Fraction(1) if a > b else Fraction(int(a == b), 2) for a, b in pairs)
    won = sum(wins, start=Fraction(0))
    return won / len(pairs)


def value(metric: Metric, died: npt.NDArray[np.bool_], scores: Floats) -> Fraction:
    instances = Instances.build(range(died.size), labels=died)
    return exact_utility(metric, instances, InstanceScores(scores, scores)).value


def neighbours(levels: list[float], died: npt.NDArray[np.bool_], metric: Metric) -> Fraction:
    """The greatest change over all cohorts of that size and all replacements of one patient."""
    greatest = Fraction(0)
    for scores in itertools.product(levels, repeat=died.size):
        before = value(metric, died, np.array(scores))
        for index in (0, died.size - 1):  # within an outcome, patients are alike
            for other in levels:
                changed = np.array(scores)
                changed[index] = other
                greatest = max(greatest, abs(value(metric, died, changed) - before))
    return greatest


@pytest.mark.parametrize(("deaths", "survivors"), [(1, 1), (1, 3), (2, 2), (3, 1), (2, 3)])
def test_no_replacement_changes_an_area_by_more_and_one_attains_it(
    deaths: int, survivors: int
) -> None:
    died = np.array([True] * deaths + [False] * survivors)
    levels = [-math.inf, 0.0, 1.0, math.nan] if died.size < 5 else [0.0, 1.0, 2.0]
    assert neighbours(levels, died, AUROC) == metric_sensitivity(AUROC, deaths, survivors)
    hard = neighbours([0.0, 0.5, 1.0], died, AUROC_HARD)
    assert hard == metric_sensitivity(AUROC_HARD, deaths, survivors)


def test_areas_are_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.integers(0, 4, DIED.size).astype(float)
        assert value(AUROC, DIED, scores) == pairs_won(DIED, scores)
        answers = rng.integers(0, 2, DIED.size).astype(float)
        assert value(AUROC_HARD, DIED, answers) == pairs_won(DIED, answers)
        answers = rng.integers(0, 3, DIED.size) / 2  # some are neither yes nor no
        assert float(value(AUROC_HARD, DIED, answers)) == pytest.approx(hard_auroc(DIED, answers))


def mechanism(
    scores: Floats, epsilon: Fraction, died: npt.NDArray[np.bool_] = DIED
) -> ExponentialMechanism:
    """That of a cohort; scores of every candidate, (candidates, patients)."""
    instances = Instances.build(range(died.size), labels=died)
    return ExponentialMechanism(
        [exact_utility(AUROC, instances, InstanceScores(row)) for row in scores], epsilon
    )


def worst(index: int, candidates: int = 11) -> tuple[Floats, Floats]:
    """Neighbours that differ in the patient at `place`, and attain S with opposite signs.

    The first candidate ranks that patient as badly as can be and the others as well as can be;
    in the neighbour it is the other way round. All others are ranked alike by all candidates.
    """
    scores = np.tile(np.linspace(-1, 1, DIED.size)[[2, 4, 6, 1, 3, 5, 7, 0]], (candidates, 1))
    cohort, other = scores.copy(), scores.copy()
    high = 10.0 if DIED[index] else -10.0
    cohort[:, index], other[:, index] = high, -high
    cohort[0, index], other[0, index] = -high, high
    return cohort, other


def drawn(scores: Floats, epsilon: Fraction, seed: int) -> npt.NDArray[np.intp]:
    below = random.Random(seed).randrange
    exponential = mechanism(scores, epsilon)
    return np.bincount([exponential.draw(below) for _ in range(DRAWS)], minlength=len(scores))


def check_loss(cohort: Floats, other: Floats, epsilon: Fraction) -> float:
    """Draws from both cohorts; no choice may be likelier in one by more than exp(ε).

    A choice counts against it where its log ratio exceeds ε by SIGMAS standard errors.
    """
    counts = [drawn(scores, epsilon, seed) for seed, scores in enumerate((cohort, other))]
    ratios = np.abs(np.log(counts[0] / counts[1]))
    errors = np.sqrt(1 / counts[0] + 1 / counts[1])
    assert np.all(ratios - SIGMAS * errors <= float(epsilon)), ratios.max()
    return float(ratios.max())


@pytest.mark.parametrize("index", [0, 7])
@pytest.mark.parametrize("epsilon", [Fraction(1, 2), Fraction(1), Fraction(2)])
def test_the_empirical_loss_stays_within_epsilon(index: int, epsilon: Fraction) -> None:
    check_loss(*worst(index), epsilon)


def test_the_worst_pair_attains_the_sensitivity_and_nearly_all_of_epsilon() -> None:
    cohort, other = worst(0)  # a death: the smaller group
    changes = [
        value(AUROC, DIED, a) - value(AUROC, DIED, b) for a, b in zip(cohort, other, strict=True)
    ]
    stated = metric_sensitivity(AUROC, 3, 5)
    assert changes == [-stated, *[stated] * 10]
    assert check_loss(cohort, other, Fraction(1)) > 0.85


@pytest.mark.parametrize("epsilon", [Fraction(1, 2), Fraction(1), Fraction(2)])
def test_the_same_test_fails_when_the_sensitivity_is_halved(
    epsilon: Fraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sensitivity, "metric_sensitivity", lambda *given: metric_sensitivity(*given) / 2
    )
    with pytest.raises(AssertionError):
        check_loss(*worst(0), epsilon)


def test_draws_have_the_probabilities_of_the_formula() -> None:
    cohort = simulated(0, patients=40, deaths=8)
    exponential = mechanism(cohort.scores, Fraction(3), cohort.died)
    areas = [float(value(AUROC, cohort.died, row)) for row in cohort.scores]
    weights = np.exp(3 * np.array(areas) / (2 / 8))
    np.testing.assert_allclose(exponential.probabilities, weights / weights.sum(), rtol=1e-12)
    below = random.Random(1).randrange
    counts = np.bincount([exponential.draw(below) for _ in range(30_000)], minlength=11)
    expected = 30_000 * exponential.probabilities
    assert ((counts - expected) ** 2 / expected).sum() < 35  # chi-square, 10 degrees: p = 1e-4


def test_a_great_epsilon_takes_the_best_and_a_small_one_takes_any() -> None:
    cohort = simulated(0, patients=40, deaths=8)
    evaluator = cohort.evaluator()
    best = GridSearch().search(evaluator, AUROC, evaluator.instances.all_indices).chosen
    sure = choose_privately(GridSearch(), evaluator, AUROC, Fraction(10**6))
    assert sure.chosen == best
    assert sure.bits == bits_leaked(11) == pytest.approx(3.459, abs=1e-3)
    shy = mechanism(cohort.scores, Fraction(1, 10**9), cohort.died)
    np.testing.assert_allclose(shy.probabilities, 1 / 11, rtol=1e-6)


def test_a_candidate_that_fails_on_somebody_stays_a_candidate() -> None:
    scores = np.tile(np.arange(8.0), (11, 1))
    scores[3, 7] = math.nan  # a survivor, who now ranks lowest of all
    evaluator = CandidateEvaluator(
        lambda candidate: lambda indices: scores[GRID.index(candidate)][indices],
        Instances.build(range(8), labels=DIED),
    )
    seen = {
        choose_privately(
            GridSearch(), evaluator, AUROC, Fraction(1, 100), random_below=below
        ).chosen
        for below in [random.Random(seed).randrange for seed in range(200)]
    }
    assert Candidate.at_lambda(0.3) in seen
    assert len(seen) == 11


@pytest.mark.parametrize(
    "metric", [AUPRC, MeanMetric("nDCG@10"), Perplexity()], ids=lambda item: item.name
)
def test_metrics_without_a_proof_are_refused(metric: Metric) -> None:
    with pytest.raises(EvaluationError, match="no bound is proven"):
        choose_privately(GridSearch(), simulated(0).evaluator(), metric, Fraction(1))


@pytest.mark.parametrize(
    "strategy", [SuccessiveHalving(), OptunaSearch()], ids=lambda item: item.name
)
def test_what_is_no_grid_is_refused(strategy: Strategy) -> None:
    with pytest.raises(EvaluationError, match="depends on the patients"):
        choose_privately(strategy, simulated(0).evaluator(), AUROC, Fraction(1))


def test_several_stays_of_a_patient_are_refused_before_any_score_is_computed() -> None:
    def factory(candidate: Candidate) -> InstanceScorer:
        raise AssertionError

    evaluator = CandidateEvaluator(factory, Instances.build(["a", "b", "b"], labels=[1, 0, 0]))
    with pytest.raises(EvaluationError, match="several stays"):
        choose_privately(GridSearch(), evaluator, AUROC, Fraction(1))


def test_one_outcome_is_refused() -> None:
    evaluator = CandidateEvaluator(
        lambda _: lambda indices: indices.astype(np.float64), Instances.build("ab", labels=[0, 0])
    )
    with pytest.raises(EvaluationError, match="one outcome only"):
        choose_privately(GridSearch(), evaluator, AUROC, Fraction(1))


def test_epsilon_is_read_as_it_is_written() -> None:
    assert parse_epsilon("0.1") == Fraction(1, 10)
    assert parse_epsilon(2) == 2
    for bad in ("0", "-1", "nan", "inf", "much", "1/0"):
        with pytest.raises(EvaluationError, match="above zero"):
            parse_epsilon(bad)


def test_the_system_s_randomness_draws() -> None:
    number = mechanism(np.tile(np.arange(8.0), (2, 1)), Fraction(1))
    assert {number.draw() for _ in range(100)} == {0, 1}
