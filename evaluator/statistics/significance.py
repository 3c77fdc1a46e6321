"""Paired tests of mean differences, and Holm's correction for multiple tests.

Smucker, Allan & Carterette 2007, "A comparison of statistical significance tests for information
retrieval evaluation" (CIKM): the randomisation test and Student's t-test are suitable for
comparing rankings, and agree; the sign test and Wilcoxon's are not.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

Values = npt.NDArray[np.float64]

EXACT_PAIRS = 20
"""Up to this many differing pairs, all assignments of signs are counted."""

_NOISE = 1e-12
"""Relative rounding error of a measure; values that differ by more are different.

trec_eval's float64 values have errors of about 1e-16, a sum over thousands of queries 1e-13.
"""

_SIGNS_AT_ONCE = 8
"""Signs drawn as one byte, which indexes the table of their sums."""


class Randomisation(NamedTuple):
    """The p-value of a randomisation test; `exact` if all permutations were counted."""

    p: float
    exact: bool


class TTest(NamedTuple):
    """Student's t and its p-value; both are nan if there is no variance estimate (n = 1)."""

    t: float
    p: float


def paired_differences(
    system: Sequence[float] | Values, baseline: Sequence[float] | Values
) -> Values:
    """The differences, system minus baseline, shape (n,); rounding noise becomes exactly 0.

    Raises EvaluationError without pairs, for sequences of different lengths and for values that
    are not finite.
    """
    ours, theirs = np.asarray(system, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape or ours.size == 0:
        raise EvaluationError("a comparison needs two values for each of one query or more")
    if not (np.all(np.isfinite(ours)) and np.all(np.isfinite(theirs))):
        raise EvaluationError("a comparison needs finite values")
    differences: Values = ours - theirs
    greatest = np.maximum(np.abs(ours), np.abs(theirs))
    differences[np.abs(differences) <= _NOISE * greatest] = 0.0
    return differences


def randomisation_test(
    system: Sequence[float] | Values,
    baseline: Sequence[float] | Values,
    *,
    permutations: int = 100_000,
    seed: int = 0,
) -> Randomisation:
    """Fisher's paired randomisation test of the mean difference, two-sided.

    Under the null hypothesis the two values of each query are exchangeable, which flips the sign
    of their difference. p is the share of sign assignments whose sum is as far from zero as the
    observed sum: of all assignments if `EXACT_PAIRS` pairs or fewer differ, otherwise of
    `permutations` random ones and the observed one, (1 + count) / (1 + permutations), which is
    never 0. A sum that is equally far but for rounding counts as extreme.

    Neither the order of the queries nor the choice of the baseline changes p, to the last digit.
    Raises EvaluationError as `paired_differences`, and for fewer than one permutation.
    """
    if permutations < 1:
        raise EvaluationError("a randomisation test needs one permutation or more")
    differences = paired_differences(system, baseline)
    sizes = np.abs(differences[differences != 0])
    # Signs are drawn by position: sorting by size makes p independent of the order of queries.
    sizes = np.sort(sizes)[::-1]
    exact = sizes.size <= EXACT_PAIRS
    sums = _signed_sums(sizes) if exact else _drawn_sums(sizes, permutations, seed)
    margin = _NOISE * (np.abs(system).sum() + np.abs(baseline).sum())
    observed = abs(math.fsum(differences)) - margin
    extreme = int(np.count_nonzero(np.abs(sums) >= observed))
    return Randomisation(
        extreme / sums.size if exact else (1 + extreme) / (1 + permutations), exact
    )


def t_test(system: Sequence[float] | Values, baseline: Sequence[float] | Values) -> TTest:
    """Student's t-test of the mean difference of pairs, two-sided, n - 1 degrees of freedom.

    Without any difference t is 0 and p is 1; if all differences are equal, t is infinite and p
    is 0. Raises EvaluationError as `paired_differences`.
    """
    from scipy.special import stdtr

    differences = paired_differences(system, baseline)
    n = differences.size
    if not differences.any():
        return TTest(0.0, 1.0)
    if n == 1:
        return TTest(math.nan, math.nan)
    mean = math.fsum(differences) / n
    if np.all(differences == differences[0]):
        # The variance below would give a t of 1e16 by rounding.
        return TTest(math.copysign(math.inf, mean), 0.0)
    variance = math.fsum((differences - mean) ** 2) / (n - 1)
    t = mean / math.sqrt(variance / n)
    return TTest(t, float(2 * stdtr(n - 1, -abs(t))))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family, corrected by Holm's step-down procedure, in the same order.

    The i-th smallest of m becomes the greatest of (m - j + 1) p_j over j <= i, at most 1: so that
    the chance of any false discovery in the family stays below the level (Holm 1979, "A simple
    sequentially rejective multiple test procedure"). nan, for a test that was not possible, stays
    nan and is not counted. Raises EvaluationError for a value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    if np.any(values < 0) or np.any(values > 1):
        raise EvaluationError("a p-value lies between 0 and 1")
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    steps = np.arange(order.size, 0, -1) * values[order]
    corrected = np.full(values.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def _signed_sums(sizes: Values) -> Values:
    """The sums of all 2**n assignments of signs to n sizes."""
    sums: Values = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _drawn_sums(sizes: Values, permutations: int, seed: int) -> Values:
    """The sums of random sign assignments; memory does not grow with the number of sizes."""
    rng = np.random.default_rng(seed)
    sums: Values = np.zeros(permutations)
    for start in range(0, sizes.size, _SIGNS_AT_ONCE):
        table = _signed_sums(sizes[start : start + _SIGNS_AT_ONCE])
        sums += table[rng.integers(table.size, size=permutations, dtype=np.uint8)]
    return sums
