"""Bootstrap by patient: all stays of a patient are drawn together, for they are not independent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .intervals import Interval

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights of stays (rows, n) into one figure a row (rows,); nan where it is undefined."""

_DRAWN_AT_ONCE = 1 << 20
"""Weights held in memory together (8 MiB)."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are drawn. The same settings and patients give the same draws."""

    level: float = 0.95
    resamples: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.resamples < 1:
            raise EvaluationError("a bootstrap needs a level between 0 and 1, and a resample")


def resampled(
    patients: Sequence[object] | npt.NDArray[np.generic],
    statistics: Mapping[str, Statistic],
    settings: Resampling | None = None,
) -> dict[str, Floats]:
    """Each figure in every resample, shape (resamples,); the resamples are the same for all.

    As many patients as there are are drawn with replacement; a stay weighs as often as its
    patient was drawn. So differences between figures are paired. Raises EvaluationError for
    nobody.
    """
    settings = settings or Resampling()
    found: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in patient_weights(patients, settings):
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
    return {name: np.concatenate(values) for name, values in found.items()}


def patient_weights(
    patients: Sequence[object] | npt.NDArray[np.generic], settings: Resampling
) -> Iterator[Floats]:
    """How often each stay was drawn, (some, n) at a time; the draws do not depend on how many."""
    if len(patients) == 0:
        raise EvaluationError("a bootstrap needs one patient or more")
    _, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    size = int(patient_of.max()) + 1
    rng = np.random.default_rng(settings.seed)
    rows = max(1, _DRAWN_AT_ONCE // len(patient_of))
    for start in range(0, settings.resamples, rows):
        count = min(rows, settings.resamples - start)
        drawn = rng.integers(size, size=(count, size))
        at = drawn + np.arange(count)[:, None] * size
        times = np.bincount(at.ravel(), minlength=count * size).reshape(count, size)
        yield times[:, patient_of].astype(np.float64)


def percentiles(values: Floats, level: float) -> Interval | None:
    """The percentile interval of resampled figures (Efron & Tibshirani 1993, ch. 13).

    Resamples where the figure is undefined are left out; None where it always is.
    """
    defined = values[np.isfinite(values)]
    if not defined.size:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high))


def weighted_mean(values: Floats) -> Statistic:
    """The statistic that is a mean over stays."""

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan where a resample has none of a fold
            found: Floats = weights @ values / weights.sum(-1)
        return found

    return mean


def balanced_accuracy(labels: npt.NDArray[np.bool_], values: Floats) -> Statistic:
    """The statistic of `hard_auroc`; `values` are those of `hard_values`."""

    def accuracy(weights: Floats) -> Floats:
        died, lived = weights[..., labels], weights[..., ~labels]
        with np.errstate(invalid="ignore", divide="ignore"):  # nan without one class
            right = died @ values[labels] / died.sum(-1)
            wrong = lived @ values[~labels] / lived.sum(-1)
        found: Floats = (1 + right - wrong) / 2
        return found

    return accuracy
