"""The strategies by name, and how one is made out of what a caller has.

A new strategy is one class and one row of STRATEGIES. The class has

* `name`, and `needs`: which of `generator`, `searcher`, `corpus` and `vocabulary` (see Means) it
  takes in its constructor, by these names; with `searcher` it also takes `where`;
* `Settings`, a frozen dataclass whose defaults are usable, the constructor's first argument;
* `expand_many`, which returns the queries in order, those it adds nothing to unchanged.

One that asks a language model inherits `PromptedExpander` instead of writing `expand_many`, and
then works with the cache of replies, `expand` and `--show-prompt` as the others do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from expander.concepts.vocabulary import Concept
from patientdx.errors import UsageError
from patientdx.protocols import CorpusView, Expander, Generator, Searcher
from patientdx.records import Filter, Query

from .grounded import Grounded
from .keywords import Keywords
from .query2doc import Query2Doc
from .reduce import Reduce
from .rm3 import Rm3
from .rocchio import Rocchio
from .synonyms import Synonyms


class Strategy(Protocol):
    """What a class in STRATEGIES offers."""

    name: str
    needs: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[Any]]
    settings: Any

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, with something added."""
        ...


STRATEGIES: Mapping[str, type[Any]] = {
    each.name: each for each in (Keywords, Query2Doc, Grounded, Rm3, Rocchio, Synonyms, Reduce)
}
"""name -> class, in the order in which help shows them."""

_ASKS_FOR = {
    "generator": ("a language model", "name one: --model"),
    "searcher": ("an index to search", "name one: --index"),
    "corpus": ("an index to look into", "name one: --index"),
    "vocabulary": ("a vocabulary", "name one or more OBO or CSV files: --vocabulary"),
}


@dataclass(frozen=True)
class Means:
    """What strategies may need. `where` limits which notes feed back into a query."""

    generator: Generator | None = None
    searcher: Searcher | None = None
    corpus: CorpusView | None = None
    vocabulary: Sequence[Concept] | None = None
    where: Filter | None = None


def make_strategy(name: str, means: Means, settings: object = None) -> Expander:
    """The strategy of a name, with its default settings unless others are given.

    Raises UsageError for an unknown name and for means that are missing.
    """
    found = STRATEGIES.get(name)
    if found is None:
        raise UsageError(f"unknown strategy `{name}`", hint=f"one of {', '.join(STRATEGIES)}")
    if settings is not None and not isinstance(settings, found.Settings):
        raise UsageError(f"these are no settings of the strategy `{name}`")
    given = {need: getattr(means, need) for need in found.needs}
    for need, one in given.items():
        if one is None:
            what, hint = _ASKS_FOR[need]
            raise UsageError(f"the strategy `{name}` needs {what}", hint=hint)
    if "searcher" in given:
        given["where"] = means.where
    strategy: Expander = found(settings, **given)
    return strategy
