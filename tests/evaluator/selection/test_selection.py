"""Honest selection: unbiased out of fold, folds by patient and outcome, contrasts, wins."""

import numpy as np
import numpy.typing as npt
import pytest
from simulated_merges import GRID, Simulated, flat, simulated

from evaluator.selection import (
    AUPRC,
    AUROC,
    AUROC_HARD,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Instances,
    InstanceScorer,
    InstanceScores,
    PatientFolds,
    Selection,
    SelectionSettings,
    Strategy,
    SuccessiveHalving,
    lambda_grid,
    select_candidate,
)
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.discrimination import auroc, delong_test
from patientdx.errors import EvaluationError

QUICK = SelectionSettings(resampling=Resampling(resamples=1))
SOME = SelectionSettings(resampling=Resampling(resamples=200), curves=(AUPRC,))
RUNS = 300


def chosen(cohort: Simulated, seed: int, strategy: Strategy) -> Selection:
    settings = SelectionSettings(PatientFolds(2, seed), QUICK.resampling)
    return select_candidate(strategy, cohort.evaluator(), AUROC, settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all λ alike", "one λ is best"])
@pytest.mark.parametrize(
    "strategy", [GridSearch(), SuccessiveHalving()], ids=lambda item: item.name
)
def test_the_nested_estimate_is_unbiased_where_the_apparent_one_is_not(
    kind: str, strategy: Strategy
) -> None:
    """What it names: the mean true AUROC of the choices that were made without each fold."""
    nested, apparent = [], []
    for seed in range(RUNS):
        make = flat if kind == "all λ alike" else simulated
        cohort = make(seed, patients=200, deaths=40)
        result = chosen(cohort, seed, strategy)
        named = np.mean([cohort.truth(fold.chosen) for fold in result.folds])
        nested.append(result.held_out.value - named)
        apparent.append(result.apparent.value - cohort.truth(result.chosen))
    error = np.std(nested, ddof=1) / np.sqrt(RUNS)
    assert abs(np.mean(nested)) < 3 * error
    assert np.mean(apparent) > 5 * np.std(apparent, ddof=1) / np.sqrt(RUNS)


def test_folds_are_chosen_by_what_is_outside_them_and_judged_on_what_is_inside() -> None:
    cohort = simulated(3)
    result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, SOME)
    folds = PatientFolds(2).split(cohort.evaluator().instances, require_both_outcomes=True)
    areas = []
    for fold, choice in zip(folds, result.folds, strict=True):
        outside = np.setdiff1d(np.arange(1000), fold)
        best = max(GRID, key=lambda c: auroc(cohort.died[outside], row(cohort, c)[outside]))
        assert choice.chosen == best
        areas.append(auroc(cohort.died[fold], row(cohort, best)[fold]))
        assert choice.held_out == pytest.approx(areas[-1], abs=1e-12)
        assert choice.deaths == 50
    assert result.held_out.value == pytest.approx(np.mean(areas), abs=1e-12)
    whole = auroc(cohort.died, row(cohort, result.chosen))
    assert result.apparent.value == pytest.approx(whole, abs=1e-12)
    assert result.optimism.value == pytest.approx(whole - np.mean(areas), abs=1e-12)
    assert result.held_out.interval is not None
    assert result.held_out.interval.low < result.held_out.value < result.held_out.interval.high


def row(cohort: Simulated, candidate: Candidate) -> npt.NDArray[np.float64]:
    return cohort.row(candidate)


def test_contrasts_are_delong_s_over_the_folds() -> None:
    cohort = simulated(4)
    result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, SOME)
    folds = PatientFolds(2).split(cohort.evaluator().instances, require_both_outcomes=True)
    assert [contrast.baseline.weight for contrast in result.contrasts] == [0, 1, 0.5]
    for contrast in result.contrasts:
        tests = [
            delong_test(
                cohort.died[fold],
                row(cohort, choice.chosen)[fold],
                row(cohort, contrast.baseline)[fold],
            )
            for fold, choice in zip(folds, result.folds, strict=True)
        ]
        assert contrast.difference.value == pytest.approx(
            np.mean([test.difference for test in tests])
        )
        variance = sum((test.difference / test.z) ** 2 for test in tests if test.z)
        z = sum(test.difference for test in tests) / np.sqrt(variance)
        assert contrast.delong is not None
        assert contrast.delong.z == pytest.approx(z)
        assert contrast.holm is not None
        assert contrast.holm >= contrast.delong.p


def test_a_choice_against_itself_is_no_difference() -> None:
    cohort = simulated(0, "spike", high=0.99)
    best = GRID[int(cohort.true.argmax())]
    settings = SelectionSettings(resampling=Resampling(resamples=50), baselines=(best,))
    (contrast,) = select_candidate(GridSearch(), cohort.evaluator(), AUROC, settings).contrasts
    assert contrast.difference.value == 0
    assert contrast.delong is not None
    assert contrast.delong.p == 1


@pytest.mark.parametrize(
    "strategy", [GridSearch(), SuccessiveHalving()], ids=lambda item: item.name
)
def test_wins_are_shares_and_the_far_better_candidate_has_them(strategy: Strategy) -> None:
    cohort = simulated(0, "spike", high=0.95)
    result = select_candidate(strategy, cohort.evaluator(), AUROC, SOME)
    assert sum(result.wins.values()) == pytest.approx(1)
    assert result.wins[GRID[int(cohort.true.argmax())]] > 0.95


def test_halving_in_folds_finds_scores_again() -> None:
    cohort = simulated(5)
    evaluator = cohort.evaluator()
    select_candidate(SuccessiveHalving(), evaluator, AUROC, QUICK)
    # Both inputs, 0.5 and the choices are needed on all patients in any case.
    assert evaluator.score_count < 0.75 * 11_000


def test_curves_have_every_candidate_of_every_metric() -> None:
    result = select_candidate(SuccessiveHalving(), simulated(6).evaluator(), AUROC, SOME)
    assert set(result.curves) == {"auroc", "auprc"}
    for points in result.curves.values():
        assert [point.candidate for point in points] == list(GRID)
        for point in points:
            assert point.estimate.interval is not None
            assert (
                point.estimate.interval.low <= point.estimate.value <= point.estimate.interval.high
            )


def test_a_candidate_that_fails_on_a_fold_only_is_not_chosen() -> None:
    cohort = simulated(0, "spike", high=0.95)
    best = int(cohort.true.argmax())
    fold = PatientFolds(2).split(cohort.evaluator().instances, require_both_outcomes=True)[0]
    cohort.scores[best, fold[0]] = np.nan
    for strategy in (GridSearch(), SuccessiveHalving()):
        result = select_candidate(strategy, cohort.evaluator(), AUROC, QUICK)
        assert GRID[best] not in {result.chosen, *(choice.chosen for choice in result.folds)}
        assert GRID[best] in result.search.failed


def test_a_baseline_that_fails_has_no_contrast() -> None:
    cohort = simulated(0)
    cohort.scores[0] = np.nan
    result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, QUICK)
    assert [contrast.baseline.weight for contrast in result.contrasts] == [1, 0.5]


def test_hard_answers_are_another_column() -> None:
    cohort = simulated(0, patients=300, deaths=60)

    def factory(candidate: Candidate) -> InstanceScorer:
        scores = row(cohort, candidate)
        return lambda indices: InstanceScores(scores[indices], (scores[indices] > 0).astype(float))

    evaluator = CandidateEvaluator(factory, Instances.build(range(300), labels=cohort.died))
    result = select_candidate(GridSearch(), evaluator, AUROC_HARD, QUICK)
    assert result.contrasts[0].delong is None
    best = max(
        np.mean([(s > 0)[cohort.died].mean(), (s <= 0)[~cohort.died].mean()]) for s in cohort.scores
    )
    assert result.apparent.value == pytest.approx(best)
    with pytest.raises(EvaluationError, match="yes/no answers"):
        select_candidate(GridSearch(), cohort.evaluator(), AUROC_HARD, QUICK)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_folds_keep_patients_together_and_outcomes_in_proportion(number: int) -> None:
    rng = np.random.default_rng(number)
    names = [f"p{number}" for number in rng.integers(0, 150, 400)]
    labels = rng.random(400) < 0.15
    folds = PatientFolds(number, 7).split(
        Instances.build(names, labels=labels), require_both_outcomes=True
    )
    assert sorted(np.concatenate(folds)) == list(range(400))
    fold_of = {names[index]: at for at, fold in enumerate(folds) for index in fold}
    assert all(fold_of[names[index]] == at for at, fold in enumerate(folds) for index in fold)
    deaths = [int(labels[fold].sum()) for fold in folds]
    assert max(deaths) - min(deaths) <= 8
    assert max(map(len, folds)) - min(map(len, folds)) <= 6


@pytest.mark.parametrize("deaths", [2, 3, 5])
@pytest.mark.parametrize("seed", range(20))
def test_every_fold_has_both_outcomes_however_rare_one_is(deaths: int, seed: int) -> None:
    """An unstratified split would lack a death in one of two folds in 5 to 50 % of the cases."""
    labels = np.arange(40) < deaths
    for outcomes in (labels, ~labels):
        instances = Instances.build(range(40), labels=outcomes)
        folds = PatientFolds(2, seed).split(instances, require_both_outcomes=True)
        counts = [int((outcomes[fold] == outcomes[0]).sum()) for fold in folds]
        assert min(counts) == deaths // 2
        assert [fold.size for fold in folds] == [20, 20]


def test_a_patient_with_a_death_counts_among_those_who_died() -> None:
    """Labels are of stays, folds of patients: one death makes the whole patient one who died."""
    names = [name for name in "abcdefgh" for _ in range(3)]
    labels = np.array([name in "ab" and stay == 1 for name in "abcdefgh" for stay in range(3)])
    for seed in range(20):
        instances = Instances.build(names, labels=labels)
        folds = PatientFolds(2, seed).split(instances, require_both_outcomes=True)
        assert [int(labels[fold].sum()) for fold in folds] == [1, 1]


@pytest.mark.parametrize(
    ("patients", "labels", "message"),
    [
        ("a", [1], "2 folds of 1 patients cannot be made"),
        ("abcd", [1, 0, 0, 0], "1 patient who died for 2 folds"),
        ("abcd", [1, 1, 1, 0], "1 patient who survived for 2 folds"),
        ("aabc", [1, 1, 0, 0], "1 patient who died for 2 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_is_paid(
    patients: str, labels: list[int], message: str
) -> None:
    def factory(candidate: Candidate) -> InstanceScorer:
        raise AssertionError

    evaluator = CandidateEvaluator(factory, Instances.build(patients, labels=labels))
    with pytest.raises(EvaluationError, match=message):
        select_candidate(GridSearch(lambda_grid()), evaluator, AUROC)
