"""The registry of expansion strategies, and how a strategy is made by name.

How to add a strategy:

1. Write one class in a new file of this folder, `strategies/NAME.py`. It has
   * `name`, the strategy's name on the command line;
   * `needs`, the resources that its constructor takes as keyword arguments of the same names:
     any of `generator`, `searcher`, `corpus` and `vocabulary` (see StrategyResources). A strategy
     that needs `searcher` also takes `where`, the filter that limits which notes it may use;
   * `Settings`, a frozen dataclass with usable defaults, the constructor's first argument;
   * `expand_many`, which returns the queries in order; a query to which it adds nothing is
     returned unchanged;
   * optionally `tuning_axes`, the settings that `tune-ir` tries by default: field -> values, the
     default first.

   There are two base classes. A strategy that uses a language model inherits `PromptedExpander`,
   with a prompt template in `expander/prompts/NAME.txt`: it then works with the reply cache, the
   command `expand` and `--show-prompt`. A strategy that adds terms of the first hits inherits
   `FeedbackExpander`.
2. Add the class to `_CLASSES` below. This is the only place where strategies are registered;
   systems such as `rrf(bm25,NAME)`, settings such as `NAME.FIELD` and tuning follow from it.
3. Add tests in `tests/expander`, the name to the help of `--expand`, and a row to the table in
   `docs/method/expansion.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from expander.concepts.concept import Concept
from patientdx.errors import UsageError
from patientdx.protocols import CorpusView, Expander, Generator, Searcher
from patientdx.records import Filter, Query

from .grounded import Grounded
from .keywords import Keywords
from .prompted import PromptedExpander
from .query2doc import Query2Doc
from .reduce import Reduce
from .rm3 import Rm3
from .rocchio import Rocchio
from .synonyms import Synonyms

_CLASSES = (Keywords, Query2Doc, Grounded, Rm3, Rocchio, Synonyms, Reduce)


class Strategy(Protocol):
    """The interface of a registered strategy."""

    name: str
    needs: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[Any]]
    settings: Any

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each expanded or unchanged."""
        ...


STRATEGIES: Mapping[str, type[Any]] = {strategy.name: strategy for strategy in _CLASSES}
"""Strategy classes by name, in the order in which help texts show them."""
PROMPTED_STRATEGIES = tuple(
    strategy.name for strategy in _CLASSES if issubclass(strategy, PromptedExpander)
)
"""Names of the strategies that use a language model."""

_MISSING_RESOURCES = {
    "generator": ("a language model", "name one: --model"),
    "searcher": ("an index to search", "name one: --index"),
    "corpus": ("an index to look into", "name one: --index"),
    "vocabulary": ("a vocabulary", "name one or more OBO or CSV files: --vocabulary"),
}
"""What an error message calls a missing resource, and the hint of how to provide it."""


@dataclass(frozen=True)
class StrategyResources:
    """The resources that strategies may need; each strategy lists its own in `needs`.

    `where` limits which notes may contribute to a query.
    """

    generator: Generator | None = None
    searcher: Searcher | None = None
    corpus: CorpusView | None = None
    vocabulary: Sequence[Concept] | None = None
    where: Filter | None = None


def make_strategy(name: str, resources: StrategyResources, settings: object = None) -> Expander:
    """The strategy of a name, with its default settings unless `settings` are passed.

    Raises UsageError for an unknown name, settings of another strategy and missing resources.
    """
    strategy_class = STRATEGIES.get(name)
    if strategy_class is None:
        raise UsageError(f"unknown strategy `{name}`", hint=f"one of {', '.join(STRATEGIES)}")
    if settings is not None and not isinstance(settings, strategy_class.Settings):
        problem = f"the strategy `{name}` has no settings of type {type(settings).__name__}"
        raise UsageError(problem)
    arguments = {need: getattr(resources, need) for need in strategy_class.needs}
    for need, resource in arguments.items():
        if resource is None:
            description, hint = _MISSING_RESOURCES[need]
            raise UsageError(f"the strategy `{name}` needs {description}", hint=hint)
    if "searcher" in arguments:
        arguments["where"] = resources.where
    strategy: Expander = strategy_class(settings, **arguments)
    return strategy


def strategy_tuning_axes(name: str) -> Mapping[str, tuple[int, ...]]:
    """The settings of a strategy that tuning tries by default: field -> values, default first."""
    axes: Mapping[str, tuple[int, ...]] = getattr(STRATEGIES[name], "tuning_axes", {})
    return axes
