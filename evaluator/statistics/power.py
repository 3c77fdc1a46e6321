"""Power of a paired comparison: how many patients show a difference at a given spread.

The estimate of a difference δ on n patients is normal about δ with standard error σ / √n, where
the spread σ is the standard deviation of what a single patient contributes: of the paired
differences for a mean, of DeLong's paired components for AUROC. A two-sided test at the level α
(α = 1 - confidence) then rejects "no difference" with the probability

    power(n) = Φ(√n |δ| / σ - z) + Φ(-√n |δ| / σ - z),    z = Φ⁻¹(1 - α/2)

and a power of 1 - β needs n = (z + Φ⁻¹(1 - β))² σ² / δ² patients, the second term being
negligible there (Obuchowski & McClish 1997 for AUROC).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from patientdx.errors import EvaluationError

_NORMAL = NormalDist()

TARGET_POWER = 0.8
"""The customary power of a study."""


@dataclass(frozen=True)
class PairedPower:
    """The power to show a difference; `spread` is σ of the module's formula, above zero.

    `level` is the confidence level of the test, 0.95 for α = .05.
    """

    difference: float
    spread: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not (self.spread > 0 and math.isfinite(self.spread) and math.isfinite(self.difference)):
            raise EvaluationError("power needs a finite difference and a spread above zero")
        if not 0 < self.level < 1:
            raise EvaluationError("the level of a test lies between 0 and 1")

    def at(self, n: float) -> float:
        """The power of a test on n patients."""
        shift = math.sqrt(n) * abs(self.difference) / self.spread
        return _NORMAL.cdf(shift - self._quantile) + _NORMAL.cdf(-shift - self._quantile)

    def needed(self, target: float = TARGET_POWER) -> int | None:
        """The number of patients that a power of `target` needs; None without a difference."""
        if self.difference == 0:
            return None
        ratio = (self._quantile + _NORMAL.inv_cdf(target)) * self.spread / self.difference
        return math.ceil(ratio**2)

    def detectable(self, n: int, target: float = TARGET_POWER) -> float:
        """The least difference that n patients show with a power of `target`."""
        return (self._quantile + _NORMAL.inv_cdf(target)) * self.spread / math.sqrt(n)

    @property
    def _quantile(self) -> float:
        return _NORMAL.inv_cdf((1 + self.level) / 2)
