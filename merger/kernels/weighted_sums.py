"""Weighted sums of tensors: the factors, and how the arithmetic rounds."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

_LANES = 4


class WeightedSum(NamedTuple):
    """One factor per input.

    With a `divisor` of 0 every product and every sum is rounded. With any other divisor the sum
    begins with +0, adds every product unrounded (a fused multiply-add), and is divided at the end.
    """

    weights: tuple[float, ...]
    divisor: float = 0.0

    def select(self, sources: Sequence[int]) -> "WeightedSum":
        """The same sum over some of the inputs."""
        return WeightedSum(tuple(self.weights[i] for i in sources), self.divisor)


SumWeights: TypeAlias = WeightedSum | Sequence[float]
"""A weighted sum, or the factors of one without a divisor."""


def as_weighted_sum(weights: SumWeights) -> WeightedSum:
    """Factors as a weighted sum."""
    return weights if isinstance(weights, WeightedSum) else WeightedSum(tuple(weights))


def sum_in_lanes(numbers: Sequence[float], *, wide: bool = False) -> float:
    """The sum in the order in which torch adds up to seven numbers, in float32 or float64."""
    real = np.float64 if wide else np.float32
    rounded = [real(number) for number in numbers]
    whole = len(rounded) // _LANES * _LANES
    lanes = [real(0)] * _LANES
    for position, number in enumerate(rounded):
        lane = position % _LANES if position < whole else 0
        lanes[lane] = real(lanes[lane] + number)
    total = lanes[0]
    for lane_sum in lanes[1:]:
        total = real(total + lane_sum)
    return float(total)
