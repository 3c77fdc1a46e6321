"""Contrasts: the choices against candidates that need no search, on the same held-out instances."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.significance import Randomisation, holm

from .candidates import Candidate
from .estimates import (
    Estimate,
    FoldDeLongTest,
    FoldScores,
    delong_test_over_folds,
    estimate_jointly,
    mean_over_folds,
    randomisation_test_over_folds,
)
from .instances import Instances
from .metrics import AUROC, Metric

_CHOICES = "choices"


@dataclass(frozen=True)
class Control:
    """A candidate that needs no search, with its scores by fold; an input, or a merge."""

    candidate: Candidate
    scores: Sequence[FoldScores]
    is_input: bool = False


@dataclass(frozen=True)
class Contrast:
    """The held-out metric of the choices minus that of one candidate on the same instances.

    `delong` is DeLong's paired test if the metric is AUROC, `randomisation` the paired
    randomisation test if it is a mean; `holm` is p corrected over all contrasts of the selection.
    `value` is the metric of the candidate itself, which is an input as it is where `is_input`.
    """

    baseline: Candidate
    difference: Estimate
    delong: FoldDeLongTest | None
    holm: float | None
    randomisation: Randomisation | None = None
    value: Estimate | None = None
    is_input: bool = False

    @property
    def p(self) -> float | None:
        """The p-value of the test that applies."""
        test = self.delong or self.randomisation
        return None if test is None else test.p


def build_contrasts(
    metric: Metric,
    instances: Instances,
    held_out: Sequence[FoldScores],
    controls: Sequence[Control],
    resampling: Resampling,
) -> tuple[Contrast, ...]:
    """The contrast of the choices with each control, all over the same resamples."""
    statistics = {_CHOICES: mean_over_folds(metric, instances, held_out)}
    differences = {}
    for control in controls:
        value = _value_key(control)
        statistics[value] = mean_over_folds(metric, instances, control.scores)
        differences[_difference_key(control)] = (_CHOICES, value)
    estimates = estimate_jointly(instances, statistics, differences, resampling)
    is_auroc = metric.name == AUROC.name
    contrasts = [
        Contrast(
            control.candidate,
            estimates[_difference_key(control)],
            delong_test_over_folds(instances, held_out, control.scores) if is_auroc else None,
            None,
            randomisation_test_over_folds(
                metric, instances, held_out, control.scores, resampling.seed
            ),
            estimates[_value_key(control)],
            control.is_input,
        )
        for control in controls
    ]
    corrected = iter(holm([contrast.p for contrast in contrasts if contrast.p is not None]))
    return tuple(
        contrast if contrast.p is None else replace(contrast, holm=next(corrected))
        for contrast in contrasts
    )


def _value_key(control: Control) -> str:
    return f"value {control.candidate.key}"


def _difference_key(control: Control) -> str:
    return f"difference {control.candidate.key}"
