"""Weighted sums of tensors: the weights, and how the arithmetic rounds."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

_LANES = 4


class WeightedSum(NamedTuple):
    """One weight an input.

    A `divisor` of 0 rounds every product and every sum. With any other the sum begins with +0,
    takes every product unrounded (a fused multiply-add), and is divided at the end.
    """

    weights: tuple[float, ...]
    divisor: float = 0.0


SumWeights: TypeAlias = WeightedSum | Sequence[float]
"""A sum, or the weights of one that has no divisor."""


def as_weighted_sum(weights: SumWeights) -> WeightedSum:
    """The sum that weights stand for."""
    return weights if isinstance(weights, WeightedSum) else WeightedSum(tuple(weights))


def linear_sum(
    weights: Sequence[float], *, divided: bool = True, wide: bool = False
) -> WeightedSum:
    """The sum of MergeKit 0.1.5's linear method, whose result is `divided` by that of the weights.

    Weights are rounded to float32 and added as torch adds up to seven numbers; `wide` is for
    float64.
    """
    real = np.float64 if wide else np.float32
    rounded = [real(weight) for weight in weights]
    whole = len(rounded) // _LANES * _LANES
    lanes = [real(0)] * _LANES
    for at, weight in enumerate(rounded):
        lane = at % _LANES if at < whole else 0
        lanes[lane] = real(lanes[lane] + weight)
    total = lanes[0]
    for lane_sum in lanes[1:]:
        total = real(total + lane_sum)
    return WeightedSum(tuple(map(float, weights)), float(total) if divided else 1.0)
