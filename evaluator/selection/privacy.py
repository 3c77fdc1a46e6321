"""What a choice of λ reveals, and a private choice that reveals little about any patient.

Publishing a choice among K candidates reveals at most log2 K bits about the cohort. With the
exponential mechanism (McSherry & Talwar 2007) the choice is drawn with probabilities
proportional to exp(ε u / 2S), u being the metric and S what one patient can change it by
(`sensitivity.py` proves it and defines which cohorts are neighbours): the probability of
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

from .candidate_evaluator import CandidateEvaluator
from .candidates import Candidate, require_distinct
from .instances import Floats, class_counts
from .metrics import Metric
from .sensitivity import (
    NEIGHBOUR_RELATION,
    Utility,
    exact_utility,
    metric_sensitivity,
    require_proven_bound,
)
from .strategies.grid import GridSearch
from .strategies.strategy import Strategy

RandomBelow = Callable[[int], int]
"""A uniform whole number from 0 to below its argument."""


@dataclass(frozen=True)
class PrivateChoice:
    """A choice by the exponential mechanism. All its fields may be published."""

    chosen: Candidate
    epsilon: Fraction
    metric: str
    candidates: tuple[Candidate, ...]
    mechanism: str = "exponential mechanism (McSherry & Talwar 2007), drawn exactly"
    neighbours: str = NEIGHBOUR_RELATION

    @property
    def bits(self) -> float:
        """The most that the choice reveals about the whole cohort, in bits."""
        return bits_leaked(len(self.candidates))


def bits_leaked(candidates: int) -> float:
    """log2 of the number of candidates: the most that naming one of them reveals."""
    if candidates < 1:
        raise EvaluationError("a choice is made among one candidate or more")
    return math.log2(candidates)


def parse_epsilon(text: str | float | Fraction) -> Fraction:
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
    evaluator: CandidateEvaluator,
    metric: Metric,
    epsilon: Fraction,
    *,
    random_below: RandomBelow = secrets.randbelow,
) -> PrivateChoice:
    """Draws a candidate of a grid by the exponential mechanism, with the system's randomness.

    Raises EvaluationError for a strategy that is no grid (what it tries depends on the patients),
    for a metric without a proven sensitivity, and for patients with several stays. A refusal
    reveals nothing: it depends only on what counts as public.
    """
    candidates = private_candidates(strategy, evaluator, metric)
    utilities = [
        exact_utility(metric, evaluator.instances, evaluator.score_all(candidate))
        for candidate in candidates
    ]
    chosen = candidates[ExponentialMechanism(utilities, epsilon).draw(random_below)]
    return PrivateChoice(chosen, epsilon, metric.name, candidates)


def private_candidates(
    strategy: Strategy, evaluator: CandidateEvaluator, metric: Metric
) -> tuple[Candidate, ...]:
    """The candidates of a private choice. Raises EvaluationError, before any scoring."""
    if not isinstance(strategy, GridSearch):
        raise EvaluationError(
            f"what `{strategy.name}` tries depends on the patients: no guarantee can be given",
            hint="--epsilon goes with --strategy grid",
        )
    require_proven_bound(metric)
    metric_sensitivity(metric, *class_counts(evaluator.instances))
    if evaluator.instances.patient_count < len(evaluator.instances):
        raise EvaluationError(
            "some patients have several stays: the guarantee is for one stay a patient",
            hint="keep one stay of each patient in the cohort",
        )
    return require_distinct(strategy.candidates)


class ExponentialMechanism:
    """Draws indices with probability proportional to exp(ε u / 2S), exactly.

    By rejection: a uniform index is accepted with probability exp(-ε (greatest u - u) / 2S). The
    greatest is always accepted, so at most as many rounds as there are indices are expected.
    """

    def __init__(self, utilities: Sequence[Utility], epsilon: Fraction) -> None:
        greatest = max(utility.value for utility in utilities)
        self._gammas = [
            epsilon * (greatest - utility.value) / (2 * utility.sensitivity)
            for utility in utilities
        ]

    def draw(self, random_below: RandomBelow = secrets.randbelow) -> int:
        """An index."""
        while True:
            index = random_below(len(self._gammas))
            if _exp_minus(self._gammas[index], random_below):
                return index

    @property
    def probabilities(self) -> Floats:
        """The probability of each index, in floating point: for tests, not for drawing."""
        weights = np.exp([-float(gamma) for gamma in self._gammas])
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
    """As `_exp_minus` for γ <= 1: the parity of the first failure among chances γ, γ/2, γ/3 ..."""
    turn = 1
    while random_below(gamma.denominator * turn) < gamma.numerator:
        turn += 1
    return turn % 2 == 1
