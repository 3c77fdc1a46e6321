"""Search by Optuna: one λ, or several values such as a λ for each group of layers."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from evaluator.retrieval.tuning import Setting
from evaluator.selection.candidates import LAMBDA, Candidate
from evaluator.selection.instances import Places
from evaluator.selection.ledger import Ledger
from evaluator.selection.metrics import Metric
from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError

from .search import Search, Tried, measured, summary

if TYPE_CHECKING:
    from optuna.trial import Trial


class Range(NamedTuple):
    """Numbers from `low` to `high` in steps; a step lets stored scores be found again."""

    low: float = 0.0
    high: float = 1.0
    step: float = 0.05


Axis = Range | tuple[Setting, ...]
"""What a value may be: a number of a range, or one of several."""


@dataclass(frozen=True)
class OptunaSearch:
    """Tree-structured Parzen estimator (Bergstra et al. 2011) over `space`, name -> axis.

    The candidates of `first` are tried before it guesses: by default both ends and the middle of
    every range. Every trial is scored on all instances. The same seed and scores give the same
    trials, so that a search that was interrupted goes through its stored scores again, and on.
    """

    trials: int = 25
    space: Mapping[str, Axis] = field(default_factory=lambda: {LAMBDA: Range()})
    first: tuple[Candidate, ...] = ()
    seed: int = 0
    name: str = "optuna"

    def search(self, ledger: Ledger, metric: Metric, places: Places) -> Search:
        """See Strategy. Raises ExtraMissingError without Optuna."""
        if self.trials < 2 or not self.space:
            raise EvaluationError("a search needs two trials or more, over one value or more")
        require_package("optuna", "tune")
        found: dict[Candidate, Tried | None] = {}
        with _quiet():
            self._run(ledger, metric, places, found)
        possible = math.prod(_size(axis) for axis in self.space.values())
        tried, exhaustive = list(found.values()), len(found) * places.size
        return summary(self.name, metric, tried, found, exhaustive, possible)

    def _run(
        self,
        ledger: Ledger,
        metric: Metric,
        places: Places,
        found: dict[Candidate, Tried | None],
    ) -> None:
        import optuna

        study = optuna.create_study(
            direction="minimize" if metric.falling else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.seed),
        )
        for one in self.first or _corners(self.space):
            study.enqueue_trial(dict(one.values))
        for _ in range(self.trials):
            trial = study.ask()
            candidate = Candidate.of(
                {name: _suggested(trial, name, axis) for name, axis in self.space.items()}
            )
            found[candidate] = measured(ledger, metric, candidate, places)
            tried = found[candidate]
            if tried is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, tried.value)


def _size(axis: Axis) -> int:
    """How many values an axis has."""
    if isinstance(axis, Range):
        return 1 + round((axis.high - axis.low) / axis.step)
    return len(axis)


def _suggested(trial: "Trial", name: str, axis: Axis) -> Setting:
    if isinstance(axis, Range):
        return round(float(trial.suggest_float(name, axis.low, axis.high, step=axis.step)), 10)
    chosen = trial.suggest_categorical(name, axis)
    return next(one for one in axis if one == chosen)


def _corners(space: Mapping[str, Axis]) -> tuple[Candidate, ...]:
    """All ranges at their low ends, in the middle, and at their high ends."""
    found = []
    for part in (0.0, 1.0, 0.5):
        values: dict[str, Setting] = {}
        for name, axis in space.items():
            if isinstance(axis, Range):
                number = round(part * (axis.high - axis.low) / axis.step)
                values[name] = round(axis.low + number * axis.step, 10)
            else:
                values[name] = axis[0]
        found.append(Candidate.of(values))
    return tuple(dict.fromkeys(found))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna's remarks, which go to stderr, to warnings."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
