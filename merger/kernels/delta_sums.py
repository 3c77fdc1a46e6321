"""Sums of differences from a base: the factors, and how MergeKit's task arithmetic rounds them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from merger.checkpoints.values import Values

from .numpy_kernels import pack, unpack
from .weighted_sums import SumWeights, WeightedSum, sum_in_lanes

_NO_DIVISOR = 1e-8  # weights whose sum is smaller divide nothing, as in MergeKit


class DeltaSum(NamedTuple):
    """A base plus the weighted sum of the differences of other inputs from it.

    `base` is the position of the base among the inputs. `weights` has one factor per input; that
    of the base is not used, and inputs of weight 0 are not read. The sum is `divided` by the sum of
    the factors or not, and then multiplied by `scale`. The arithmetic has the dtype of the output:
    native/merge.h defines where it rounds.
    """

    base: int
    weights: tuple[float, ...]
    divided: bool = False
    scale: float = 1.0

    @property
    def order(self) -> tuple[int, ...]:
        """The inputs that are read: the base, then those whose difference counts."""
        others = (i for i, weight in enumerate(self.weights) if weight and i != self.base)
        return (self.base, *others)

    def select(self, sources: Sequence[int]) -> "DeltaSum":
        """The same sum over some of the inputs, the base among them."""
        weights = tuple(self.weights[i] for i in sources)
        return self._replace(base=tuple(sources).index(self.base), weights=weights)

    def factors(self, dtype: str) -> tuple[float, ...]:
        """The factors of the inputs in `order` but the base, a divisor (0: none), and the scale.

        All are rounded to a dtype, the scale to float32.
        """
        weights = _round_numbers([self.weights[i] for i in self.order[1:]], dtype)
        divisor = self._divisor(weights, dtype) if self.divided else 0.0
        return (*weights, divisor, self.scale if dtype == "F64" else float(np.float32(self.scale)))

    @staticmethod
    def _divisor(weights: Sequence[float], dtype: str) -> float:
        total = sum_in_lanes(weights, wide=dtype == "F64")
        divisor, smallest = _round_numbers([total, _NO_DIVISOR], dtype)
        return 0.0 if abs(divisor) < smallest else divisor


TensorSum: TypeAlias = WeightedSum | DeltaSum
"""What makes a tensor of the inputs."""

SumOrWeights: TypeAlias = SumWeights | DeltaSum
"""A sum, or the factors of a weighted one without a divisor."""


def _round_numbers(numbers: Sequence[float], dtype: str) -> list[float]:
    """Numbers rounded to a dtype; to halves by way of float32, as PyTorch does."""
    rounded = Values.empty(len(numbers), dtype)
    pack(np.array(numbers, np.float64), rounded)
    return [float(number) for number in unpack(rounded)]
