"""Rounding to float32 by its definition, in exact arithmetic, and sums that are hard to round."""

import math
from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import NamedTuple


def nearest_float32(exact: Fraction) -> float:
    """A rational number rounded to float32: to the nearest, ties to even."""
    if not exact:
        return 0.0
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    step = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = round(size / step) * step  # Python rounds ties to even
    large = math.inf if rounded >= 2**128 else float(rounded)
    return math.copysign(large, exact)


class HardSum(NamedTuple):
    """Numbers of float32 for which a·b + c rounds wrongly if it is rounded to float64 first."""

    a: float
    b: float
    c: float

    @property
    def exact(self) -> Fraction:
        """The sum, not rounded."""
        return Fraction(self.a) * Fraction(self.b) + Fraction(self.c)

    @property
    def rounded_twice(self) -> float:
        """The sum rounded to float64, then to float32."""
        return nearest_float32(Fraction(self.a * self.b + self.c))  # the product is exact


def hard_sums(count: int, seed: int = 0) -> Iterator[HardSum]:
    """Sums that lie just beside the middle of two numbers of float32.

    a and b are odd integers below 2^24 with a·b = 2^24·m + s, where s is 1 or -1. If m is an odd
    multiple of 2^6 and c a multiple of 2^31 from 2^54 to 2^55, then 2^24·m + c is the middle of
    two numbers of float32. Numbers of float64 are 4 apart there, so s is lost in float64, and a
    tie to even may go to the wrong side of the exact sum.
    """
    random, made = Random(seed), 0
    while made < count:
        b = random.randrange(2**23 + 1, 2**24, 2)
        s = random.choice((-1, 1))
        a = s * pow(b, -1, 2**24) % 2**24
        m = (a * b - s) >> 24
        c = random.randrange(2**23, 2**24) << 31
        sign, scale = random.choice((-1, 1)), 2.0 ** random.randrange(-40, 0)
        case = HardSum(sign * float(a), float(b) * scale, sign * float(c) * scale)
        if m % 128 == 64 and case.rounded_twice != nearest_float32(case.exact):
            made += 1
            yield case
