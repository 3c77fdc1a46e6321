"""Bootstrap by patient: all stays of a patient are drawn together, as they are dependent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .intervals import Interval

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Maps weights of stays (rows, n) to one value per row (rows,), nan where it is undefined."""

_DRAWN_AT_ONCE = 1 << 20
"""Weights held in memory together (8 MiB)."""


@dataclass(frozen=True)
class Resampling:
    """Settings of a bootstrap. The same settings and patients give the same draws."""

    level: float = 0.95
    resamples: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.resamples < 1:
            raise EvaluationError("a bootstrap needs a level between 0 and 1, and a resample")


def resample_statistics(
    patients: Sequence[object] | npt.NDArray[np.generic],
    statistics: Mapping[str, Statistic],
    settings: Resampling | None = None,
) -> dict[str, Floats]:
    """The values of each statistic over the same resamples, shape (resamples,).

    A resample draws as many patients as there are, with replacement; the weight of a stay is the
    number of times its patient was drawn. Since all statistics share the resamples, differences
    between them are paired. Raises EvaluationError without patients.
    """
    settings = settings or Resampling()
    values: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in patient_weights(patients, settings):
        for name, statistic in statistics.items():
            values[name].append(statistic(weights))
    return {name: np.concatenate(batches) for name, batches in values.items()}


def patient_weights(
    patients: Sequence[object] | npt.NDArray[np.generic], settings: Resampling
) -> Iterator[Floats]:
    """How often each stay was drawn, in batches (rows, n); the draws do not depend on `rows`."""
    if len(patients) == 0:
        raise EvaluationError("a bootstrap needs one patient or more")
    _, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    size = int(patient_of.max()) + 1
    rng = np.random.default_rng(settings.seed)
    rows = max(1, _DRAWN_AT_ONCE // len(patient_of))
    for start in range(0, settings.resamples, rows):
        count = min(rows, settings.resamples - start)
        drawn = rng.integers(size, size=(count, size))
        flat = drawn + np.arange(count)[:, None] * size
        times = np.bincount(flat.ravel(), minlength=count * size).reshape(count, size)
        yield times[:, patient_of].astype(np.float64)


def percentile_interval(values: Floats, level: float) -> Interval | None:
    """The percentile interval of resampled values (Efron & Tibshirani 1993, ch. 13).

    Undefined (nan) values are left out; None if all are undefined.
    """
    defined = values[np.isfinite(values)]
    if not defined.size:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high))


def weighted_mean(values: Floats) -> Statistic:
    """The weighted mean over stays as a statistic."""

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan where a resample has no stay of a fold
            means: Floats = weights @ values / weights.sum(-1)
        return means

    return mean


def balanced_accuracy(labels: npt.NDArray[np.bool_], values: Floats) -> Statistic:
    """`hard_auroc` as a statistic; `values` are those of `answer_values`."""

    def accuracy(weights: Floats) -> Floats:
        died, lived = weights[..., labels], weights[..., ~labels]
        with np.errstate(invalid="ignore", divide="ignore"):  # nan without one class
            right = died @ values[labels] / died.sum(-1)
            wrong = lived @ values[~labels] / lived.sum(-1)
        accuracies: Floats = (1 + right - wrong) / 2
        return accuracies

    return accuracy
