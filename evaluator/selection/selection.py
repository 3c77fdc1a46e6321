"""Honest selection: λ chosen on one part of the patients and judged on the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from evaluator.statistics.bootstrap import Floats, Resampling, Statistic
from evaluator.statistics.significance import Randomisation, holm
from patientdx.errors import EvaluationError

from .candidates import Candidate
from .instances import Instances, Places
from .judging import (
    DeLong,
    FoldScores,
    Judged,
    Point,
    delong_over_folds,
    drawn_together,
    over_folds,
    point,
    randomised_over_folds,
    win_shares,
)
from .ledger import Ledger
from .metrics import AUROC, Metric, figure
from .patient_folds import Deal
from .strategies.search import Search, Strategy

BASELINES: tuple[Candidate, ...] = (Candidate.at(0), Candidate.at(1), Candidate.at(0.5))
"""Both inputs, and the merge that one would take without looking."""


@dataclass(frozen=True)
class FoldChoice:
    """What was chosen without a fold: its metric there (`apparent`) and on the fold (`held_out`).

    `n` and `deaths` count the fold.
    """

    chosen: Candidate
    apparent: float
    held_out: float
    n: int
    deaths: int | None


@dataclass(frozen=True)
class Contrast:
    """The choices, held out, minus one candidate on the same instances.

    `delong` is DeLong's paired test where the metric is AUROC, `randomisation` the paired
    randomisation test where it is a mean; `holm` is p corrected over all contrasts of the
    selection.
    """

    baseline: Candidate
    difference: Judged
    delong: DeLong | None
    holm: float | None
    randomisation: Randomisation | None = None

    @property
    def p(self) -> float | None:
        """The p-value of either test."""
        test = self.delong or self.randomisation
        return None if test is None else test.p


@dataclass(frozen=True, eq=False)
class Selection:
    """A choice, and what it is worth.

    `apparent` is the metric of the choice on all patients, who took part in choosing it.
    `held_out` is the mean over folds of the metric that the choice made without the fold has on
    it: an unbiased estimate of the mean true metric of those fold choices, which were made on
    fewer patients than the choice itself. `optimism` is how much better the first looks. Intervals
    resample patients and take the choices as given. `wins` tells how often each candidate is the
    best over resamples, on `search.shared`. `curves` has the figures by metric, `unit` what
    "patients" are: patients, queries or texts.
    """

    metric: str
    search: Search
    folds: tuple[FoldChoice, ...]
    apparent: Judged
    held_out: Judged
    optimism: Judged
    contrasts: tuple[Contrast, ...]
    wins: Mapping[Candidate, float]
    curves: Mapping[str, tuple[Point, ...]]
    n: int
    patients: int
    deaths: int | None
    seed: int
    resampling: Resampling
    unit: str = "patients"

    @property
    def chosen(self) -> Candidate:
        """The choice, made on all patients."""
        return self.search.chosen


@dataclass(frozen=True)
class SelectionSettings:
    """How a choice is judged: folds, intervals, baselines, further metrics of the curves."""

    deal: Deal = field(default_factory=Deal)
    resampling: Resampling = field(default_factory=Resampling)
    baselines: tuple[Candidate, ...] = BASELINES
    curves: tuple[Metric, ...] = ()


def select(
    strategy: Strategy,
    ledger: Ledger,
    metric: Metric,
    settings: SelectionSettings | None = None,
) -> Selection:
    """Chooses on all patients, and tells how well such choices do on patients they never saw.

    A candidate that turns out to fail on a part of the patients only is left out, and the search
    repeated. Raises EvaluationError for cohorts too small for the folds, and as the strategy.
    """
    settings = settings or SelectionSettings()
    instances = ledger.instances
    folds = settings.deal.folds(instances, by_class=metric.by_class)
    search = _whole_search(strategy, ledger, metric, instances.everywhere)
    choices = [_without(strategy, ledger, metric, instances.everywhere, fold) for fold in folds]
    held_out = [_scores(ledger, one.chosen, fold) for one, fold in zip(choices, folds, strict=True)]
    whole = [_scores(ledger, search.chosen, instances.everywhere)]
    baselines = {
        one: [_scores(ledger, one, fold) for fold in folds]
        for one in settings.baselines
        if ledger.rate(one, instances.everywhere) is not None
    }
    figures = _figures(metric, instances, whole, held_out, baselines, settings.resampling)
    return Selection(
        metric=metric.name,
        search=search,
        folds=tuple(
            _fold_choice(metric, instances, one, scores)
            for one, scores in zip(choices, held_out, strict=True)
        ),
        apparent=figures["apparent"],
        held_out=figures["held out"],
        optimism=figures["optimism"],
        contrasts=_contrasts(
            metric, instances, held_out, baselines, figures, settings.resampling.seed
        ),
        wins=win_shares(
            ledger,
            metric,
            [one.candidate for one in search.tried],
            search.shared,
            settings.resampling,
        ),
        curves=_curves(ledger, metric, search, settings),
        n=len(instances),
        patients=instances.patient_count,
        deaths=instances.deaths,
        seed=settings.deal.seed,
        resampling=settings.resampling,
        unit=instances.unit,
    )


def _without(
    strategy: Strategy, ledger: Ledger, metric: Metric, everywhere: Places, fold: Places
) -> Search:
    """The choice by everybody outside a fold, of which the scores on the fold are finite."""
    while True:
        search = strategy.search(ledger, metric, np.setdiff1d(everywhere, fold))
        if ledger.rate(search.chosen, fold) is not None:
            return search


def _whole_search(strategy: Strategy, ledger: Ledger, metric: Metric, everywhere: Places) -> Search:
    while True:
        search = strategy.search(ledger, metric, everywhere)
        if ledger.rate(search.chosen, everywhere) is not None:
            return search


def _scores(ledger: Ledger, candidate: Candidate, places: Places) -> FoldScores:
    ratings = ledger.rate(candidate, places)
    if ratings is None:
        raise EvaluationError(f"λ = {candidate} gave scores that are not finite")
    return FoldScores(places, ratings)


def _fold_choice(
    metric: Metric, instances: Instances, search: Search, scores: FoldScores
) -> FoldChoice:
    fold = instances.at(scores.places)
    value = figure(metric, fold, scores.ratings)
    return FoldChoice(search.chosen, search.value, value, len(fold), fold.deaths)


def _figures(
    metric: Metric,
    instances: Instances,
    whole: Sequence[FoldScores],
    held_out: Sequence[FoldScores],
    baselines: Mapping[Candidate, Sequence[FoldScores]],
    resampling: Resampling,
) -> dict[str, Judged]:
    """All figures that are compared, over the same resamples."""
    apparent, honest = (over_folds(metric, instances, one) for one in (whole, held_out))
    statistics: dict[str, Statistic] = {
        "apparent": apparent,
        "held out": honest,
        "optimism": partial(
            _difference, *((honest, apparent) if metric.falling else (apparent, honest))
        ),
    }
    for one, scores in baselines.items():
        baseline = over_folds(metric, instances, scores)
        statistics[one.key] = partial(_difference, honest, baseline)
    return drawn_together(instances, statistics, resampling)


def _difference(ours: Statistic, theirs: Statistic, weights: Floats) -> Floats:
    found: Floats = ours(weights) - theirs(weights)
    return found


def _contrasts(
    metric: Metric,
    instances: Instances,
    held_out: Sequence[FoldScores],
    baselines: Mapping[Candidate, Sequence[FoldScores]],
    figures: Mapping[str, Judged],
    seed: int,
) -> tuple[Contrast, ...]:
    found = [
        Contrast(
            one,
            figures[one.key],
            delong_over_folds(instances, held_out, scores) if metric.name == AUROC.name else None,
            None,
            randomised_over_folds(metric, instances, held_out, scores, seed),
        )
        for one, scores in baselines.items()
    ]
    corrected = iter(holm([one.p for one in found if one.p is not None]))
    return tuple(one if one.p is None else replace(one, holm=next(corrected)) for one in found)


def _curves(
    ledger: Ledger, metric: Metric, search: Search, settings: SelectionSettings
) -> dict[str, tuple[Point, ...]]:
    metrics = {one.name: one for one in (metric, *settings.curves)}
    found = {}
    for name, one in metrics.items():
        points = [
            point(ledger, one, tried.candidate, tried.places, settings.resampling)
            for tried in search.tried
        ]
        found[name] = tuple(each for each in points if each is not None)
    return found
