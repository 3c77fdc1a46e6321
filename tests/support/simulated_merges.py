"""Merges that are no models: scores whose true AUROC along λ is known.

Scores are normal, correlated between neighbouring λ; those of patients who die are shifted so
that the AUROC of an endless cohort is the one wanted: shift = √2 Φ⁻¹(AUROC).
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from evaluator.selection import Candidate, CandidateEvaluator, Indices, Instances, lambda_grid

Floats = npt.NDArray[np.float64]
GRID = lambda_grid()
LOW, HIGH = 0.50, 0.63

SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "parabola": lambda away: 1 - (away / away.max()) ** 2,
    "tent": lambda away: 1 - away / away.max(),
    "bump": lambda away: np.exp(-(away**2) / (2 * 0.15**2)),
    "spike": lambda away: np.exp(-(away**2) / (2 * 0.05**2)),
    "flat top": lambda away: np.exp(-(away**2) / (2 * 0.3**2)),
}


@dataclass(frozen=True)
class Simulated:
    """A cohort, the scores of every λ (11, n), and the true AUROC of each λ (11,)."""

    died: npt.NDArray[np.bool_]
    scores: Floats
    true: Floats

    def evaluator(self) -> CandidateEvaluator:
        """An evaluator of the scores."""
        names = [f"p{index}" for index in range(self.died.size)]
        return CandidateEvaluator(self.factory, Instances.build(names, labels=self.died))

    def factory(self, candidate: Candidate) -> Callable[[Indices], Floats]:
        """What stands in for a model."""
        row = self.row(candidate)
        return lambda indices: row[indices]

    def row(self, candidate: Candidate) -> Floats:
        """The scores of a candidate, shape (n,)."""
        row: Floats = self.scores[GRID.index(candidate)]
        return row

    def truth(self, candidate: Candidate) -> float:
        """The true AUROC of a candidate."""
        return float(self.true[GRID.index(candidate)])


def simulated(
    seed: int,
    shape: str = "parabola",
    *,
    patients: int = 1000,
    deaths: int = 100,
    low: float = LOW,
    high: float = HIGH,
) -> Simulated:
    """True AUROC from `low` to `high` with its peak at a random λ; correlations of .5 to .8."""
    rng = np.random.default_rng(seed)
    peak = rng.integers(len(GRID)) / 10
    rise = SHAPES[shape](np.abs(np.linspace(0, 1, len(GRID)) - peak))
    true = low + (high - low) * (rise - rise.min()) / (rise.max() - rise.min())
    noise = np.empty((len(GRID), patients))
    noise[0] = rng.normal(size=patients)
    for row, share in enumerate(rng.uniform(0.5, 0.8, len(GRID) - 1), start=1):
        fresh = rng.normal(size=patients)
        noise[row] = share * noise[row - 1] + np.sqrt(1 - share**2) * fresh
    died = rng.permutation(patients) < deaths
    shift = np.array([np.sqrt(2) * NormalDist().inv_cdf(area) for area in true])
    return Simulated(died, noise + shift[:, None] * died, true)


def flat(seed: int, patients: int = 200, deaths: int = 40) -> Simulated:
    """No λ is better than another: whatever seems so is luck."""
    made = simulated(seed, patients=patients, deaths=deaths, low=0.5, high=0.63)
    shift = np.array([np.sqrt(2) * NormalDist().inv_cdf(area) for area in made.true])
    level = np.sqrt(2) * NormalDist().inv_cdf(0.6)
    scores = made.scores + (level - shift)[:, None] * made.died
    return Simulated(made.died, scores, np.full(len(GRID), 0.6))
