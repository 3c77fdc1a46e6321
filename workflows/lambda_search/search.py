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
    delta_baselines,
    delta_search_space,
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
    of names of tensors that each have a λ of their own. Of models on a base, grid and halving
    search one λ for all, Optuna one for each; `max_lambda` is the highest. The choice is judged by
    `folds` and by intervals over `resamples`.
    """

    strategy: str = "grid"
    step: float = 0.1
    share: float = 0.3
    trials: int = 25
    groups: tuple[str, ...] = ()
    folds: int = 2
    resamples: int = 2000
    seed: int = 0
    max_lambda: float = 1.0

    def has_single_lambda(self, models: ModelSet) -> bool:
        """True where the candidates of these models are one λ each."""
        return not self.groups and models.has_single_lambda and self._shares_lambda(models)

    def build_strategy(self, models: ModelSet) -> Strategy:
        """The strategy for some models. Raises UsageError for what it cannot search."""
        if self.max_lambda != 1 and not models.has_base:
            raise UsageError("λ exceeds 1 on a base only", hint="--method task_arithmetic --base B")
        options = StrategyOptions(self.step, self.share, self.trials, self.seed, self.max_lambda)
        return build_strategy(self.strategy, options, self._space(models))

    def baselines(self, models: ModelSet) -> "tuple[Candidate, ...]":
        """Each model alone, and equal weights."""
        if models.has_base:
            shared = self._shares_lambda(models)
            return delta_baselines(models.size - 1, shared=shared)
        if models.size == 2:
            return BASELINE_CANDIDATES
        return starting_candidates(models.size, models.methods)

    def inputs(self, models: ModelSet) -> "tuple[Candidate, ...]":
        """Those of the baselines that are a model alone: all but the last, the merge of all."""
        return self.baselines(models)[:-1]

    def _space(self, models: ModelSet) -> SearchSpace:
        if models.has_base and not self.groups:
            shared = self._shares_lambda(models)
            return delta_search_space(models.size - 1, self.max_lambda, shared=shared)
        if not self.groups:
            return weight_search_space(models.size, models.methods)
        if models.size > 2 and not models.has_base:
            raise UsageError("--groups is for two models, by slerp or linear")
        axes: dict[str, Axis] = {name: Range(high=self.max_lambda) for name in (*self.groups, REST)}
        methods: dict[str, Axis] = {METHOD: models.methods} if len(models.methods) > 1 else {}
        return SearchSpace(axes | methods)

    def _shares_lambda(self, models: ModelSet) -> bool:
        """Whether all models on a base have one λ; of two models there is but one."""
        return self.strategy != "optuna" or bool(self.groups) or models.size == 2
