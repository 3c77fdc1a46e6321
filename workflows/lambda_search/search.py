"""How λ is searched for, and how the choice is judged."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from patientdx.errors import UsageError

from .model_sets import REST, ModelSet

if TYPE_CHECKING:
    from evaluator.selection import Axis, Candidate, Strategy


@dataclass(frozen=True)
class LambdaSearch:
    """A strategy with its numbers, and the nested evaluation of its choice.

    `step` is the spacing of λ (grid and halving), `share` the part of the grid's scores that
    halving spends, `trials` the number of candidates of Optuna, which also takes `groups`: parts
    of names of tensors that each have a λ of their own. The choice is judged by `folds` and by
    intervals over `resamples`.
    """

    strategy: Literal["grid", "halving", "optuna"] = "grid"
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

    def build_strategy(self, models: ModelSet) -> "Strategy":
        """The strategy for some models. Raises UsageError for what only Optuna can search."""
        from evaluator.selection import GridSearch, Halving, OptunaSearch, starts, steps

        if self.strategy == "optuna":
            first = () if self.groups else starts(models.size, models.methods)
            space = self._space(models)
            return OptunaSearch(trials=self.trials, space=space, first=first, seed=self.seed)
        if self.groups:
            raise UsageError("groups of tensors are searched by optuna", hint="--strategy optuna")
        if not models.has_single_lambda:
            raise UsageError(
                "more than two models, or several methods, are searched by optuna",
                hint="--strategy optuna",
            )
        if self.strategy == "halving":
            return Halving(steps(self.step), share=self.share, seed=self.seed)
        return GridSearch(steps(self.step))

    def baselines(self, models: ModelSet) -> "tuple[Candidate, ...]":
        """Each model alone, and equal weights."""
        from evaluator.selection import BASELINES, starts

        return BASELINES if models.size == 2 else starts(models.size, models.methods)

    def _space(self, models: ModelSet) -> "dict[str, Axis]":
        from evaluator.selection import METHOD, Range, simplex_space

        if not self.groups:
            return simplex_space(models.size, models.methods)
        if models.size > 2:
            raise UsageError("--groups is for two models, by slerp or linear")
        space: dict[str, Axis] = {name: Range() for name in (*self.groups, REST)}
        return space | ({METHOD: models.methods} if len(models.methods) > 1 else {})
