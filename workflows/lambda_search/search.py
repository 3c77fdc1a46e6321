"""How λ is searched for, and how the choice is judged."""

from dataclasses import dataclass

from evaluator.selection import (
    BASELINE_CANDIDATES,
    METHOD,
    Axis,
    Candidate,
    Range,
    SearchSpace,
    Strategy,
    StrategyOptions,
    build_strategy,
    starting_candidates,
    weight_search_space,
)
from patientdx.errors import UsageError

from .model_sets import REST, ModelSet


@dataclass(frozen=True)
class LambdaSearch:
    """A strategy by its name, its numbers, and the nested evaluation of its choice.

    `step` is the spacing of λ (grid and halving), `share` the part of the grid's scores that
    halving spends, `trials` the number of candidates of Optuna, which also takes `groups`: parts
    of names of tensors that each have a λ of their own. The choice is judged by `folds` and by
    intervals over `resamples`.
    """

    strategy: str = "grid"
    step: float = 0.1
    share: float = 0.3
    trials: int = 25
    groups: tuple[str, ...] = ()
    folds: int = 2
    resamples: int = 2000
    seed: int = 0

    def has_single_lambda(self, models: ModelSet) -> bool:
        """True where the candidates of these models are one λ each."""
        return not self.groups and models.has_single_lambda

    def build_strategy(self, models: ModelSet) -> Strategy:
        """The strategy for some models. Raises UsageError for what it cannot search."""
        options = StrategyOptions(self.step, self.share, self.trials, self.seed)
        return build_strategy(self.strategy, options, self._space(models))

    def baselines(self, models: ModelSet) -> "tuple[Candidate, ...]":
        """Each model alone, and equal weights."""
        if models.size == 2:
            return BASELINE_CANDIDATES
        return starting_candidates(models.size, models.methods)

    def inputs(self, models: ModelSet) -> "tuple[Candidate, ...]":
        """Those of the baselines that are a model alone: all but the last, the merge of all."""
        return self.baselines(models)[:-1]

    def _space(self, models: ModelSet) -> SearchSpace:
        if not self.groups:
            return weight_search_space(models.size, models.methods)
        if models.size > 2:
            raise UsageError("--groups is for two models, by slerp or linear")
        axes: dict[str, Axis] = {name: Range() for name in (*self.groups, REST)}
        methods: dict[str, Axis] = {METHOD: models.methods} if len(models.methods) > 1 else {}
        return SearchSpace(axes | methods)
