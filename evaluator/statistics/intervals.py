"""Bootstrap intervals of means over queries."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

_DRAWN_AT_ONCE = 1 << 20
"""Resampled values in memory at a time (8 MiB of values, 8 MiB of indices)."""


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | npt.NDArray[np.float64],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap interval of a mean over queries (Efron & Tibshirani 1993, ch. 13).

    `values` has one number per query; resamples draw them with replacement. The same values and
    seed give the same interval. A single value, or values that are all equal, do not vary over
    resamples: the interval is then that value alone and says nothing about uncertainty.

    Raises EvaluationError without values, values that are not finite, and settings out of range.
    """
    sample = np.asarray(values, dtype=np.float64)
    _check(sample, level, resamples)
    if np.all(sample == sample[0]):
        # The sums below would give a width of 1e-17 by rounding.
        return Interval(float(sample[0]), float(sample[0]))
    means = np.concatenate(list(_resampled_means(sample, resamples, seed)))
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _resampled_means(
    sample: npt.NDArray[np.float64], resamples: int, seed: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Means of resamples in batches (rows,); the draws do not depend on the batch size."""
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // sample.size)
    for start in range(0, resamples, rows):
        drawn = rng.integers(sample.size, size=(min(rows, resamples - start), sample.size))
        yield sample[drawn].mean(axis=1)


def _check(sample: npt.NDArray[np.float64], level: float, resamples: int) -> None:
    if sample.ndim != 1 or sample.size == 0:
        raise EvaluationError("an interval needs the values of one query or more")
    if not np.all(np.isfinite(sample)):
        raise EvaluationError("an interval needs finite values")
    if not 0 < level < 1:
        raise EvaluationError(f"the level of an interval lies between 0 and 1, not at {level}")
    if resamples < 1:
        raise EvaluationError("an interval needs one resample or more")
