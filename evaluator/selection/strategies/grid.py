"""Grid search: every candidate on every instance."""

from dataclasses import dataclass

from evaluator.selection.candidate_evaluator import CandidateEvaluator
from evaluator.selection.candidates import Candidate, lambda_grid, require_distinct
from evaluator.selection.instances import Indices
from evaluator.selection.metrics import Metric

from .strategy import StrategyResult, run_trial, summarise_trials


@dataclass(frozen=True)
class GridSearch:
    """Evaluates every candidate on every instance: the paper's search, λ in steps of 0.1."""

    candidates: tuple[Candidate, ...] = lambda_grid()
    name: str = "grid"

    def search(
        self, evaluator: CandidateEvaluator, metric: Metric, indices: Indices
    ) -> StrategyResult:
        """See Strategy. Of equally good candidates the first is chosen."""
        candidates = require_distinct(self.candidates)
        trials = [run_trial(evaluator, metric, candidate, indices) for candidate in candidates]
        number = len(candidates)
        return summarise_trials(
            self.name, metric, trials, candidates, number * indices.size, number
        )
