"""Norms and cosines of tensors, from the moments of every two of them."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from .moments import Moments


class PairMoments(NamedTuple):
    """The moments of the inputs i < j by (i, j), for one tensor."""

    moments: Mapping[tuple[int, int], Moments]

    def cosine(self, i: int, j: int) -> float:
        """Cosine of two inputs; a norm of 1e-8 or less counts as 1."""
        return self.moments[min(i, j), max(i, j)].cosine

    def angle_cosine(self, i: int, j: int) -> float:
        """Cosine of the angle between two inputs, whatever their norms."""
        return self.moments[min(i, j), max(i, j)].angle_cosine

    def norm(self, i: int) -> float:
        """Norm of an input."""
        pair = next(pair for pair in self.moments if i in pair)
        moments = self.moments[pair]
        if i == pair[0]:
            return math.ldexp(math.sqrt(moments.aa), moments.ea)
        return math.ldexp(math.sqrt(moments.bb), moments.eb)
