"""The search strategies by name.

To add a strategy:

1. Write one module in this folder with a frozen dataclass that has the `name` and the `search`
   method of `Strategy` (see `strategy.py`; `grid.py` is the shortest example).
2. Add one row to `STRATEGIES`: how to build it from the options and the search space, and whether
   it can search several values at once.

An option that no strategy has yet is a new field of `StrategyOptions` and a new option of the
command `tune-merge`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from evaluator.selection.candidates import lambda_grid
from patientdx.errors import UsageError

from .grid import GridSearch
from .halving import SuccessiveHalving
from .optuna_search import OptunaSearch
from .search_space import SearchSpace
from .strategy import Strategy


@dataclass(frozen=True)
class StrategyOptions:
    """Options of all strategies; each strategy uses those that apply to it.

    `step` is the grid spacing of λ (grid and halving), `share` the share of the grid's scores
    that halving spends, `trials` the number of candidates that Optuna tries. `seed` drives
    everything random. `highest` is the last λ of the grid.
    """

    step: float = 0.1
    share: float = 0.3
    trials: int = 25
    seed: int = 0
    highest: float = 1.0


@dataclass(frozen=True)
class StrategyEntry:
    """How to build a strategy, and whether it searches spaces of more than a single λ."""

    build: Callable[[StrategyOptions, SearchSpace], Strategy]
    multidimensional: bool = False


def build_strategy(
    name: str, options: StrategyOptions = StrategyOptions(), space: SearchSpace | None = None
) -> Strategy:
    """The strategy of a name for a search space, by default a single λ.

    Raises UsageError for an unknown name, and for a space of several values if the strategy
    searches a single λ only.
    """
    space = space or SearchSpace()
    if name not in STRATEGIES:
        raise UsageError(
            f"`{name}` is not a search strategy", hint=f"strategies are {', '.join(STRATEGIES)}"
        )
    entry = STRATEGIES[name]
    if not space.single_lambda and not entry.multidimensional:
        capable = [other for other, known in STRATEGIES.items() if known.multidimensional]
        raise UsageError(
            f"more than two models, or several methods, are searched by {' or '.join(capable)}",
            hint=f"--strategy {capable[0]}",
        )
    return entry.build(options, space)


def _build_grid(options: StrategyOptions, _: SearchSpace) -> Strategy:
    return GridSearch(lambda_grid(options.step, options.highest))


def _build_halving(options: StrategyOptions, _: SearchSpace) -> Strategy:
    grid = lambda_grid(options.step, options.highest)
    return SuccessiveHalving(grid, share=options.share, seed=options.seed)


def _build_optuna(options: StrategyOptions, space: SearchSpace) -> Strategy:
    return OptunaSearch(trials=options.trials, space=space, seed=options.seed)


STRATEGIES: Mapping[str, StrategyEntry] = MappingProxyType(
    {
        "grid": StrategyEntry(_build_grid),
        "halving": StrategyEntry(_build_halving),
        "optuna": StrategyEntry(_build_optuna, multidimensional=True),
    }
)
"""Name -> entry, in the order in which help shows them."""
