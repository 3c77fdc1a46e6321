"""Systems against a baseline, query by query: the difference, its interval and its tests."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluator.statistics.intervals import Interval, bootstrap_interval
from evaluator.statistics.significance import (
    Values,
    holm,
    paired_differences,
    randomisation_test,
    t_test,
)
from patientdx.errors import EvaluationError

from .evaluation import Evaluation


@dataclass(frozen=True)
class ComparisonSettings:
    """How a comparison is made; the same settings and values give the same figures."""

    permutations: int = 100_000
    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """A system against a baseline on one measure and set, over `n` queries that both ran.

    `difference` is system minus baseline in the mean, `interval` that of the paired differences.
    A query is a tie where its two values are equal but for rounding. `p_randomisation` is exact
    or sampled as `exact` tells. The `holm_` values are corrected within a family of `family`
    comparisons, all three None before `corrected` is called. `p_t` and `holm_t` are nan for one
    query.
    """

    system: str
    baseline: str
    measure: str
    dataset: str
    n: int
    difference: float
    interval: Interval
    wins: int
    ties: int
    losses: int
    p_randomisation: float
    exact: bool
    t: float
    p_t: float
    settings: ComparisonSettings
    holm_randomisation: float | None = None
    holm_t: float | None = None
    family: int | None = None


def compare(
    system: Evaluation,
    baseline: Evaluation,
    measure: str,
    *,
    names: tuple[str, str] = ("system", "baseline"),
    dataset: str = "",
    settings: ComparisonSettings = ComparisonSettings(),
) -> Comparison:
    """One system against the baseline on one measure, with p-values that are not corrected.

    The order of the queries changes nothing. Raises EvaluationError where the two were not
    evaluated on the same queries or the measure was not computed for both.
    """
    ours, theirs = _paired(system, baseline, measure, names)
    differences = paired_differences(ours, theirs)
    tested = randomisation_test(
        ours, theirs, permutations=settings.permutations, seed=settings.seed
    )
    t = t_test(ours, theirs)
    interval = bootstrap_interval(
        np.sort(differences),  # resamples are drawn by position
        level=settings.level,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    return Comparison(
        system=names[0],
        baseline=names[1],
        measure=measure,
        dataset=dataset,
        n=differences.size,
        difference=math.fsum(differences) / differences.size,
        interval=interval,
        wins=int(np.count_nonzero(differences > 0)),
        ties=int(np.count_nonzero(differences == 0)),
        losses=int(np.count_nonzero(differences < 0)),
        p_randomisation=tested.p,
        exact=tested.exact,
        t=t.t,
        p_t=t.p,
        settings=settings,
    )


def compare_systems(
    evaluations: Mapping[str, Evaluation],
    *,
    baseline: str | None = None,
    measures: Sequence[str] | None = None,
    dataset: str = "",
    settings: ComparisonSettings = ComparisonSettings(),
) -> list[Comparison]:
    """Every other system against the baseline (the first, if none is named), measure by measure.

    The p-values are not corrected yet: gather those of all sets and call `corrected`. Raises
    EvaluationError for a baseline that is not there, and as `compare`.
    """
    name = baseline_of(evaluations, baseline)
    return [
        compare(
            evaluation,
            evaluations[name],
            measure,
            names=(system, name),
            dataset=dataset,
            settings=settings,
        )
        for measure in measures or evaluations[name].measures
        for system, evaluation in evaluations.items()
        if system != name
    ]


def by_measure(comparison: Comparison) -> Hashable:
    """The family of a comparison where all systems and sets on one measure form one."""
    return comparison.measure


def corrected(
    comparisons: Sequence[Comparison], by: Callable[[Comparison], Hashable] = by_measure
) -> list[Comparison]:
    """The comparisons, in order, with the p-values of both tests corrected by Holm's procedure.

    Those for which `by` gives the same value form one family: by default all systems and sets
    given, for each measure apart. `by=lambda one: (one.measure, one.dataset)` corrects over
    systems only, `by=lambda one: None` over everything.
    """
    families: dict[Hashable, list[int]] = {}
    for position, comparison in enumerate(comparisons):
        families.setdefault(by(comparison), []).append(position)
    done = list(comparisons)
    for positions in families.values():
        randomisation = holm([comparisons[i].p_randomisation for i in positions])
        student = holm([comparisons[i].p_t for i in positions])
        for i, p, p_t in zip(positions, randomisation, student, strict=True):
            done[i] = replace(
                comparisons[i], holm_randomisation=p, holm_t=p_t, family=len(positions)
            )
    return done


def baseline_of(evaluations: Mapping[str, Evaluation], baseline: str | None = None) -> str:
    """The name given, or that of the first system. Raises EvaluationError for one not there."""
    name = next(iter(evaluations), None) if baseline is None else baseline
    if name is None or name not in evaluations:
        raise EvaluationError(
            "there is no system to compare with" if name is None else f"no system `{name}`",
            hint=f"systems are {', '.join(evaluations)}" if evaluations else None,
        )
    return name


def query_differences(system: Evaluation, baseline: Evaluation, measure: str) -> dict[str, float]:
    """System minus baseline for each query, in the baseline's order. Raises as `compare`."""
    ours, theirs = _paired(system, baseline, measure, ("system", "baseline"))
    differences = paired_differences(ours, theirs)
    return dict(zip(baseline.per_query, differences.tolist(), strict=True))


def _paired(
    system: Evaluation, baseline: Evaluation, measure: str, names: tuple[str, str]
) -> tuple[Values, Values]:
    """The values of both, one row a query of the baseline."""
    if system.per_query.keys() != baseline.per_query.keys():
        raise EvaluationError(
            f"`{names[0]}` and `{names[1]}` were not evaluated on the same queries",
            hint="evaluate all systems against the same judgements",
        )
    theirs = np.array(baseline.values(measure))
    system.values(measure)  # tells which measures there are
    return np.array([system.per_query[query][measure] for query in baseline.per_query]), theirs
