"""Nested selection: λ chosen on one part of the patients and evaluated on the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluator.selection.evidence.proxies import ProxyCorrelation
from evaluator.selection.evidence.retention import RetentionCurve
from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import EvaluationError

from .candidate_evaluator import CandidateEvaluator
from .candidates import Candidate
from .contrasts import Contrast, Control, build_contrasts
from .estimates import (
    CandidateEstimate,
    Estimate,
    FoldScores,
    estimate_candidate,
    estimate_jointly,
    mean_over_folds,
    win_rates,
)
from .instances import Indices, Instances
from .metrics import Metric, metric_value
from .patient_folds import PatientFolds
from .strategies.strategy import Strategy, StrategyResult

BASELINE_CANDIDATES: tuple[Candidate, ...] = (
    Candidate.at_lambda(0),
    Candidate.at_lambda(1),
    Candidate.at_lambda(0.5),
)
"""Both inputs, and the merge in the middle, which needs no search."""

INPUT_CANDIDATES = BASELINE_CANDIDATES[:2]
"""Those of the baselines that are an input as it is."""


@dataclass(frozen=True)
class FoldChoice:
    """The choice made without a fold: its metric outside the fold (`apparent`) and on it.

    `n` and `deaths` count the instances of the fold.
    """

    chosen: Candidate
    apparent: float
    held_out: float
    n: int
    deaths: int | None


@dataclass(frozen=True, eq=False)
class Selection:
    """A choice of λ and estimates of its metric.

    `apparent` is the metric of the choice on all patients, which were used to choose it.
    `held_out` is the mean over folds of the metric on a fold of the choice made without the fold:
    an unbiased estimate of the mean true metric of those fold choices, which were made on fewer
    patients than the choice itself. `optimism` is how much better `apparent` is. Intervals
    resample patients and treat the choices as fixed. `wins` is the share of resamples in which
    each candidate is the best, on `search.shared`. `curves` has the candidates' estimates by
    metric; `unit` is the plural noun for what "patients" are: patients, queries or texts.
    `lower_is_better` is the direction of the metric. `retention` are figures that were measured
    beside it, `proxies` how far cheap figures rank the candidates alike.
    """

    metric: str
    search: StrategyResult
    folds: tuple[FoldChoice, ...]
    apparent: Estimate
    held_out: Estimate
    optimism: Estimate
    contrasts: tuple[Contrast, ...]
    wins: Mapping[Candidate, float]
    curves: Mapping[str, tuple[CandidateEstimate, ...]]
    n: int
    patients: int
    deaths: int | None
    seed: int
    resampling: Resampling
    unit: str = "patients"
    lower_is_better: bool = False
    retention: tuple[RetentionCurve, ...] = ()
    proxies: tuple[ProxyCorrelation, ...] = ()

    @property
    def chosen(self) -> Candidate:
        """The choice made on all patients."""
        return self.search.chosen


@dataclass(frozen=True)
class SelectionSettings:
    """Folds, intervals, baselines, and further metrics of the curves.

    `baselines` are candidates that need no search; `inputs` names those that are a single model.
    """

    folds: PatientFolds = field(default_factory=PatientFolds)
    resampling: Resampling = field(default_factory=Resampling)
    baselines: tuple[Candidate, ...] = BASELINE_CANDIDATES
    curves: tuple[Metric, ...] = ()
    inputs: tuple[Candidate, ...] = INPUT_CANDIDATES


def select_candidate(
    strategy: Strategy,
    evaluator: CandidateEvaluator,
    metric: Metric,
    settings: SelectionSettings | None = None,
) -> Selection:
    """Chooses on all patients, and estimates how good such choices are on unseen patients.

    If a choice turns out to fail on patients it was not chosen by, it is left out and the search
    repeated. Raises EvaluationError for cohorts too small for the folds, and as the strategy.
    """
    settings = settings or SelectionSettings()
    instances, everyone = evaluator.instances, evaluator.instances.all_indices
    folds = settings.folds.split(instances, require_both_outcomes=metric.needs_both_outcomes)
    search = _search(strategy, evaluator, metric, everyone, everyone)
    choices = [
        _search(strategy, evaluator, metric, np.setdiff1d(everyone, fold), fold) for fold in folds
    ]
    held_out = [
        _fold_scores(evaluator, choice.chosen, fold)
        for choice, fold in zip(choices, folds, strict=True)
    ]
    apparent = [_fold_scores(evaluator, search.chosen, everyone)]
    controls = [
        Control(
            baseline,
            [_fold_scores(evaluator, baseline, fold) for fold in folds],
            is_input=baseline in settings.inputs,
        )
        for baseline in settings.baselines
        if evaluator.score(baseline, everyone) is not None
    ]
    estimates = _estimates(metric, instances, apparent, held_out, settings.resampling)
    return Selection(
        metric=metric.name,
        search=search,
        folds=tuple(
            _fold_choice(metric, instances, choice, scores)
            for choice, scores in zip(choices, held_out, strict=True)
        ),
        apparent=estimates["apparent"],
        held_out=estimates["held out"],
        optimism=estimates["optimism"],
        contrasts=build_contrasts(metric, instances, held_out, controls, settings.resampling),
        wins=win_rates(
            evaluator,
            metric,
            [trial.candidate for trial in search.trials],
            search.shared,
            settings.resampling,
        ),
        curves=_curves(evaluator, metric, search, settings),
        n=len(instances),
        patients=instances.patient_count,
        deaths=instances.deaths,
        seed=settings.folds.seed,
        resampling=settings.resampling,
        unit=instances.unit,
        lower_is_better=metric.lower_is_better,
    )


def _search(
    strategy: Strategy,
    evaluator: CandidateEvaluator,
    metric: Metric,
    training: Indices,
    test: Indices,
) -> StrategyResult:
    """A search on the training instances whose choice has finite scores on the test instances."""
    while True:
        search = strategy.search(evaluator, metric, training)
        if evaluator.score(search.chosen, test) is not None:
            return search


def _fold_scores(
    evaluator: CandidateEvaluator, candidate: Candidate, indices: Indices
) -> FoldScores:
    scores = evaluator.score(candidate, indices)
    if scores is None:
        raise EvaluationError(f"λ = {candidate} gave scores that are not finite")
    return FoldScores(indices, scores)


def _fold_choice(
    metric: Metric, instances: Instances, search: StrategyResult, fold_scores: FoldScores
) -> FoldChoice:
    fold = instances.subset(fold_scores.indices)
    value = metric_value(metric, fold, fold_scores.scores)
    return FoldChoice(search.chosen, search.value, value, len(fold), fold.deaths)


def _estimates(
    metric: Metric,
    instances: Instances,
    apparent: Sequence[FoldScores],
    held_out: Sequence[FoldScores],
    resampling: Resampling,
) -> dict[str, Estimate]:
    """The estimates of the choice, over the same resamples."""
    statistics = {
        "apparent": mean_over_folds(metric, instances, apparent),
        "held out": mean_over_folds(metric, instances, held_out),
    }
    pair = ("held out", "apparent") if metric.lower_is_better else ("apparent", "held out")
    return estimate_jointly(instances, statistics, {"optimism": pair}, resampling)


def _curves(
    evaluator: CandidateEvaluator,
    metric: Metric,
    search: StrategyResult,
    settings: SelectionSettings,
) -> dict[str, tuple[CandidateEstimate, ...]]:
    curves = {}
    for curve_metric in {known.name: known for known in (metric, *settings.curves)}.values():
        estimates = [
            estimate_candidate(
                evaluator, curve_metric, trial.candidate, trial.indices, settings.resampling
            )
            for trial in search.trials
        ]
        curves[curve_metric.name] = tuple(known for known in estimates if known is not None)
    return curves
