"""Weighted sums of tensors: the factors, and how the arithmetic rounds."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias


class WeightedSum(NamedTuple):
    """One factor per input.

    With a `divisor` of 0 every product and every sum is rounded. With any other divisor the sum
    begins with +0, adds every product unrounded (a fused multiply-add), and is divided at the end.
    """

    weights: tuple[float, ...]
    divisor: float = 0.0


SumWeights: TypeAlias = WeightedSum | Sequence[float]
"""A weighted sum, or the factors of one without a divisor."""


def as_weighted_sum(weights: SumWeights) -> WeightedSum:
    """Factors as a weighted sum."""
    return weights if isinstance(weights, WeightedSum) else WeightedSum(tuple(weights))
