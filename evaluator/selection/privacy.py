"""What a choice of λ reveals, and a choice that reveals little of any one patient.

Publishing a choice among K candidates tells log2 K bits at most about the cohort. With the
exponential mechanism (McSherry & Talwar 2007) the choice is drawn with probabilities
proportional to exp(ε u / 2S), u being the metric and S what one patient can change it by
(`sensitivity.py` proves it and says in words which cohorts are neighbours): the probability of
any choice then differs between neighbours by a factor of exp(ε) at most.

Proof. Let u and u' be the metrics on neighbours, so that |u - u'| <= S for each candidate. Then
exp(εu/2S) <= exp(ε/2) exp(εu'/2S) for the candidate chosen, and the sum over all candidates is at
least exp(-ε/2) times that for u'. The quotient of the two is at most exp(ε/2 + ε/2). ∎

The draw is exact. Mechanisms that compute exp in floating point, or add Gumbel noise and take the
greatest, have probabilities that are off by their rounding, which can undo the guarantee
(Mironov 2012; Ilvento 2020). Here the metrics are fractions of whole numbers, so is ε, and a
candidate is drawn uniformly and kept with probability exp(-γ), γ a fraction, decided by whole
random numbers alone (Canonne, Kamath & Steinke 2020, algorithm 1). What remains outside the
proof: a model whose scores depend, by rounding, on who else is in a batch; the time that a
draw takes; and choosing again: two published choices cost their ε together.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from patientdx.errors import EvaluationError

from .candidates import Candidate, distinct
from .instances import Floats, class_counts
from .ledger import Ledger
from .metrics import Metric
from .sensitivity import RELATION, Utility, check_proven, sensitivity_of, utility
from .strategies.search import GridSearch, Strategy

RandomBelow = Callable[[int], int]
"""A uniform whole number from 0 to below its argument."""


@dataclass(frozen=True)
class PrivateChoice:
    """A choice by the exponential mechanism. It holds nothing but what may be published."""

    chosen: Candidate
    epsilon: Fraction
    metric: str
    candidates: tuple[Candidate, ...]
    mechanism: str = "exponential mechanism (McSherry & Talwar 2007), drawn exactly"
    neighbours: str = RELATION

    @property
    def bits(self) -> float:
        """What the choice tells about the whole cohort at most, in bits."""
        return bits_leaked(len(self.candidates))


def bits_leaked(candidates: int) -> float:
    """log2 of the number of candidates: what naming one of them tells at most."""
    if candidates < 1:
        raise EvaluationError("a choice is made among one candidate or more")
    return math.log2(candidates)


def read_epsilon(text: str | float | Fraction) -> Fraction:
    """ε as a fraction, as written (`0.1` is 1/10). Raises EvaluationError unless above zero."""
    try:
        epsilon = Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        epsilon = Fraction(0)
    if epsilon <= 0:
        raise EvaluationError(f"ε is a number above zero, not `{text}`", hint="--epsilon 1")
    return epsilon


def choose_privately(
    strategy: Strategy,
    ledger: Ledger,
    metric: Metric,
    epsilon: Fraction,
    *,
    random_below: RandomBelow = secrets.randbelow,
) -> PrivateChoice:
    """One candidate of a grid by the exponential mechanism, from the system's randomness.

    Raises EvaluationError for a strategy that is no grid (what it tries depends on the patients),
    for a metric without a proven sensitivity, and for patients with several stays. A refusal is
    no secret: it depends on what counts as public.
    """
    candidates = private_candidates(strategy, ledger, metric)
    utilities = [utility(metric, ledger.instances, ledger.rate_all(one)) for one in candidates]
    chosen = candidates[ExponentialMechanism(utilities, epsilon).draw(random_below)]
    return PrivateChoice(chosen, epsilon, metric.name, candidates)


def private_candidates(strategy: Strategy, ledger: Ledger, metric: Metric) -> tuple[Candidate, ...]:
    """The candidates, if all conditions are met, before anything is paid for."""
    if not isinstance(strategy, GridSearch):
        raise EvaluationError(
            f"what `{strategy.name}` tries depends on the patients: no guarantee can be given",
            hint="--epsilon goes with --strategy grid",
        )
    check_proven(metric)
    sensitivity_of(metric, *class_counts(ledger.instances))
    if ledger.instances.patient_count < len(ledger.instances):
        raise EvaluationError(
            "some patients have several stays: the guarantee is for one stay a patient",
            hint="keep one stay of each patient in the cohort",
        )
    return distinct(strategy.candidates)


class ExponentialMechanism:
    """Draws places with probability proportional to exp(ε u / 2S), exactly.

    By rejection: any place, kept with probability exp(-ε (greatest u - u) / 2S). The greatest is
    always kept, so that as many turns as there are places are expected at most.
    """

    def __init__(self, utilities: Sequence[Utility], epsilon: Fraction) -> None:
        greatest = max(one.value for one in utilities)
        self._gammas = [
            epsilon * (greatest - one.value) / (2 * one.sensitivity) for one in utilities
        ]

    def draw(self, random_below: RandomBelow = secrets.randbelow) -> int:
        """One place."""
        while True:
            place = random_below(len(self._gammas))
            if _exp_minus(self._gammas[place], random_below):
                return place

    @property
    def probabilities(self) -> Floats:
        """Of each place, in floating point: for tests, not for drawing."""
        weights = np.exp([-float(one) for one in self._gammas])
        shares: Floats = weights / weights.sum()
        return shares


def _exp_minus(gamma: Fraction, random_below: RandomBelow) -> bool:
    """True with probability exp(-γ), for γ of zero or more."""
    while gamma > 1:
        if not _exp_minus_small(Fraction(1), random_below):
            return False
        gamma -= 1
    return _exp_minus_small(gamma, random_below)


def _exp_minus_small(gamma: Fraction, random_below: RandomBelow) -> bool:
    """For γ of one or less: the parity of the first failure among chances γ, γ/2, γ/3 ..."""
    turn = 1
    while random_below(gamma.denominator * turn) < gamma.numerator:
        turn += 1
    return turn % 2 == 1
