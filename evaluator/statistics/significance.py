"""Whether a mean difference may be chance: paired tests, and Holm's correction for many of them.

Smucker, Allan & Carterette 2007, "A comparison of statistical significance tests for information
retrieval evaluation" (CIKM), finds the randomisation test and Student's t-test fit to compare
rankings, and to agree; the sign test and Wilcoxon's are not.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

Values = npt.NDArray[np.float64]

EXACT_PAIRS = 20
"""With no more differing pairs than this, every assignment of signs is counted."""

_NOISE = 1e-12
"""Relative rounding error of the same measure computed in another order; greater is a difference.

trec_eval's float64 values carry some 1e-16, a sum over thousands of queries some 1e-13.
"""

_SIGNS_AT_ONCE = 8
"""Signs drawn as one byte, which looks their sum up."""


class Randomisation(NamedTuple):
    """The p-value of a randomisation test, and whether it counted all permutations or a sample."""

    p: float
    exact: bool


class TTest(NamedTuple):
    """Student's t and its p-value; both are nan where there is no variance to be had (n = 1)."""

    t: float
    p: float


def paired_differences(
    system: Sequence[float] | Values, baseline: Sequence[float] | Values
) -> Values:
    """The differences, system minus baseline, shape (n,); rounding noise becomes exactly 0.

    Raises EvaluationError for no pair, for sequences of different lengths and for values that
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

    Under the null hypothesis each query's two values could as well be exchanged, which turns the
    sign of its difference. p is the share of assignments of signs whose sum is as far from zero
    as the one observed: of all of them where `EXACT_PAIRS` pairs or fewer differ, otherwise of
    `permutations` drawn ones and the observed one, (1 + count) / (1 + permutations), which is
    never 0. A sum as far but for rounding counts as extreme.

    The order of the queries and which of the two is called the baseline change nothing, to the
    last digit. Raises EvaluationError as `paired_differences`, and for no permutations.
    """
    if permutations < 1:
        raise EvaluationError("a randomisation test needs one permutation or more")
    differences = paired_differences(system, baseline)
    sizes = np.abs(differences[differences != 0])
    # Signs are drawn by position: in the order of their sizes, the order of queries is forgotten.
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

    Without any difference t is 0 and p is 1; where all differ by the same, t is infinite and p is
    0. Raises EvaluationError as `paired_differences`.
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
        # Not left to the variance below, whose rounding would give a t of 1e16.
        return TTest(math.copysign(math.inf, mean), 0.0)
    variance = math.fsum((differences - mean) ** 2) / (n - 1)
    t = mean / math.sqrt(variance / n)
    return TTest(t, float(2 * stdtr(n - 1, -abs(t))))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family, corrected by Holm's step-down procedure, in the same order.

    The i-th smallest of m becomes the greatest of (m - j + 1) p_j over j <= i, at most 1: so that
    the chance of any false discovery in the family stays below the level (Holm 1979, "A simple
    sequentially rejective multiple test procedure"). nan, where no test could be made, stays nan
    and is not counted. Raises EvaluationError for what is no p-value.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if np.any(given < 0) or np.any(given > 1):
        raise EvaluationError("a p-value lies between 0 and 1")
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    steps = np.arange(order.size, 0, -1) * given[order]
    corrected = np.full(given.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def _signed_sums(sizes: Values) -> Values:
    """The sums of all 2**n assignments of signs to n sizes."""
    sums: Values = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _drawn_sums(sizes: Values, permutations: int, seed: int) -> Values:
    """The sums of that many random assignments of signs; memory does not grow with the sizes."""
    rng = np.random.default_rng(seed)
    sums: Values = np.zeros(permutations)
    for start in range(0, sizes.size, _SIGNS_AT_ONCE):
        some = _signed_sums(sizes[start : start + _SIGNS_AT_ONCE])
        sums += some[rng.integers(some.size, size=permutations, dtype=np.uint8)]
    return sums
