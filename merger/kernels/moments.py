"""Sums of squares and products of two tensors, from which norms and cosines follow."""

import math
from typing import NamedTuple

SMALLEST_NORM = 1e-8  # norms up to here count as 1


class Moments(NamedTuple):
    """Sums of squares and products of two tensors a and b, scaled by powers of two.

    aa·2^(2·ea) is the sum of squares of a, bb·2^(2·eb) that of b, ab·2^(ea+eb) their product. The
    exponents are 0 except for float64 tensors beyond 1e±140.
    """

    aa: float
    bb: float
    ab: float
    ea: int = 0
    eb: int = 0

    @property
    def finite(self) -> tuple[bool, bool]:
        """Whether all numbers of a are finite, and all of b."""
        return math.isfinite(self.aa), math.isfinite(self.bb)

    @property
    def cosine(self) -> float:
        """Cosine of a and b for SLERP: a norm of 1e-8 or less counts as 1."""
        norms = 1.0
        for squares, exponent in ((self.aa, self.ea), (self.bb, self.eb)):
            small = math.ldexp(math.sqrt(squares), exponent) <= SMALLEST_NORM
            norms *= math.ldexp(1.0, -exponent) if small else math.sqrt(squares)
        return max(-1.0, min(1.0, self.ab / norms))

    @property
    def angle_cosine(self) -> float:
        """Cosine of the angle between a and b, whatever their norms; 0 where one of them is 0."""
        norms = math.sqrt(self.aa) * math.sqrt(self.bb)
        return max(-1.0, min(1.0, self.ab / norms)) if norms else 0.0
