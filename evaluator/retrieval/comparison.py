"""Comparison of systems with a baseline by query: differences, their intervals and tests."""

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
    """Settings of intervals and tests; the same settings and values give the same results."""

    permutations: int = 100_000
    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """A system compared with a baseline on one measure and set, over the same `n` queries.

    `difference` is the mean of system minus baseline, `interval` that of the paired differences.
    A query is a tie if its two values are equal but for rounding. `p_randomisation` is exact if
    `exact` is set, otherwise sampled. The `holm_` values are corrected within a family of
    `family` comparisons; all three are None before `correct_p_values`. `p_t` and `holm_t` are nan
    for a single query.
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


def compare_pair(
    system: Evaluation,
    baseline: Evaluation,
    measure: str,
    *,
    names: tuple[str, str] = ("system", "baseline"),
    dataset: str = "",
    settings: ComparisonSettings = ComparisonSettings(),
) -> Comparison:
    """Compares a system with the baseline on one measure; p-values are not corrected.

    The order of the queries has no effect. Raises EvaluationError if the two were not evaluated
    on the same queries, or the measure was not computed for both.
    """
    ours, theirs = _paired(system, baseline, measure, names)
    differences = paired_differences(ours, theirs)
    randomisation = randomisation_test(
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
        p_randomisation=randomisation.p,
        exact=randomisation.exact,
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
    """Compares every other system with the baseline (the first by default) on each measure.

    The p-values are not corrected yet: collect the comparisons of all sets and call
    `correct_p_values`. Raises EvaluationError for an unknown baseline, and as `compare_pair`.
    """
    name = resolve_baseline(evaluations, baseline)
    return [
        compare_pair(
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


def family_by_measure(comparison: Comparison) -> Hashable:
    """The family of a comparison: all systems and sets on its measure."""
    return comparison.measure


def correct_p_values(
    comparisons: Sequence[Comparison],
    family_of: Callable[[Comparison], Hashable] = family_by_measure,
) -> list[Comparison]:
    """The comparisons in order, with the p-values of both tests corrected by Holm's procedure.

    Comparisons with the same `family_of` form a family: by default all systems and sets on one
    measure. `family_of=lambda c: (c.measure, c.dataset)` corrects over systems only,
    `family_of=lambda c: None` over all comparisons.
    """
    families: dict[Hashable, list[int]] = {}
    for position, comparison in enumerate(comparisons):
        families.setdefault(family_of(comparison), []).append(position)
    results = list(comparisons)
    for positions in families.values():
        p_values = holm([comparisons[i].p_randomisation for i in positions])
        t_values = holm([comparisons[i].p_t for i in positions])
        for i, p, p_t in zip(positions, p_values, t_values, strict=True):
            results[i] = replace(
                comparisons[i], holm_randomisation=p, holm_t=p_t, family=len(positions)
            )
    return results


def resolve_baseline(evaluations: Mapping[str, Evaluation], baseline: str | None = None) -> str:
    """The name of the baseline, by default the first system. Raises EvaluationError."""
    name = next(iter(evaluations), None) if baseline is None else baseline
    if name is None or name not in evaluations:
        raise EvaluationError(
            "there is no system to compare with" if name is None else f"no system `{name}`",
            hint=f"systems are {', '.join(evaluations)}" if evaluations else None,
        )
    return name


def query_differences(system: Evaluation, baseline: Evaluation, measure: str) -> dict[str, float]:
    """System minus baseline for each query, in the baseline's order. Raises as `compare_pair`."""
    ours, theirs = _paired(system, baseline, measure, ("system", "baseline"))
    differences = paired_differences(ours, theirs)
    return dict(zip(baseline.per_query, differences.tolist(), strict=True))


def _paired(
    system: Evaluation, baseline: Evaluation, measure: str, names: tuple[str, str]
) -> tuple[Values, Values]:
    """The values of both systems by query, in the baseline's order."""
    if system.per_query.keys() != baseline.per_query.keys():
        raise EvaluationError(
            f"`{names[0]}` and `{names[1]}` were not evaluated on the same queries",
            hint="evaluate all systems against the same judgements",
        )
    theirs = np.array(baseline.values(measure))
    system.values(measure)  # raises if the measure was not computed
    return np.array([system.per_query[query][measure] for query in baseline.per_query]), theirs
