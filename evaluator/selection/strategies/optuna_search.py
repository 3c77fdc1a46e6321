"""Search by Optuna: a single λ, or several values such as one λ for each group of layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.retrieval.tuning import SettingValue
from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate
from evaluator.selection.instances import Indices
from evaluator.selection.metrics import Metric
from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError

from .search_space import Axis, Range, SearchSpace
from .strategy import StrategyResult, Trial, run_trial, summarise_trials

if TYPE_CHECKING:
    from optuna.trial import Trial as OptunaTrial


@dataclass(frozen=True)
class OptunaSearch:
    """Tree-structured Parzen estimator (Bergstra et al. 2011) over a search space.

    The space's initial candidates are tried before the estimator samples. Every trial is scored
    on all instances. The same seed and scores give the same trials, so that an interrupted search
    replays its stored scores and continues.
    """

    trials: int = 25
    space: SearchSpace = field(default_factory=SearchSpace)
    seed: int = 0
    name: str = "optuna"

    def search(
        self, evaluator: CandidateEvaluator, metric: Metric, indices: Indices
    ) -> StrategyResult:
        """See Strategy. Raises ExtraMissingError without Optuna."""
        if self.trials < 2 or not self.space.axes:
            raise EvaluationError("a search needs two trials or more, over one value or more")
        require_package("optuna", "tune")
        with _quiet_optuna():
            trials = self._run_trials(evaluator, metric, indices)
        exhaustive = len(trials) * indices.size
        return summarise_trials(
            self.name, metric, list(trials.values()), trials, exhaustive, self.space.size
        )

    def _run_trials(
        self, evaluator: CandidateEvaluator, metric: Metric, indices: Indices
    ) -> dict[Candidate, Trial | None]:
        """The trial of each candidate in order, None if it failed; a repeated one counts once."""
        import optuna

        study = optuna.create_study(
            direction="minimize" if metric.lower_is_better else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.seed),
        )
        for candidate in self.space.initial_candidates():
            study.enqueue_trial(dict(candidate.values))
        trials: dict[Candidate, Trial | None] = {}
        for _ in range(self.trials):
            suggestion = study.ask()
            candidate = self._suggested_candidate(suggestion)
            trial = run_trial(evaluator, metric, candidate, indices)
            trials[candidate] = trial
            if trial is None:
                study.tell(suggestion, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(suggestion, trial.value)
        return trials

    def _suggested_candidate(self, suggestion: "OptunaTrial") -> Candidate:
        return Candidate.from_values(
            {
                name: _suggested_value(suggestion, name, axis)
                for name, axis in self.space.axes.items()
            }
        )


def _suggested_value(suggestion: "OptunaTrial", name: str, axis: Axis) -> SettingValue:
    if isinstance(axis, Range):
        value = suggestion.suggest_float(name, axis.low, axis.high, step=axis.step)
        return round(float(value), 10)
    chosen = suggestion.suggest_categorical(name, axis)
    return next(value for value in axis if value == chosen)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Limits Optuna's log, which goes to stderr, to warnings."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
