"""Options of expansion that several commands share, and the rooms that they join."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import UsageError
from patientdx.records import Filter

from . import options, output
from .asking import Asked, generator

if TYPE_CHECKING:
    from evaluator import TunedSettings
    from expander import (
        GenerationProgress,
        PhraseSearcher,
        ReplyCounts,
        StrategyResources,
        SystemSettings,
    )
    from indexer.index import Index
    from patientdx.protocols import Expander, Searcher

PROMPTED = frozenset({"keywords", "query2doc", "grounded"})
"""Strategies that ask a language model."""
DEPTH = 1000
"""How far down plain BM25 is asked where a hit stood before."""
RECONSTRUCTED = "the prompt of `keywords` is reconstructed from a translation of the paper"

Expand = Annotated[
    str | None,
    typer.Option(
        "--expand",
        help="Expand the query: phrases (recommended), keywords, query2doc, grounded (by a "
        "language model), rm3, rocchio, synonyms or reduce.",
    ),
]
Fuse = Annotated[
    str | None,
    typer.Option(
        "--fuse", help="Fuse the hits of the query and of the expanded one: rrf, min-max, z-score."
    ),
]
Vocabulary = Annotated[
    list[Path] | None,
    typer.Option(
        "--vocabulary", help="OBO or CSV file of concepts, for synonyms; may be repeated."
    ),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="The system and numbers that tune-ir wrote.")
]


@contextmanager
def means(
    names: Collection[str],
    asked: Asked,
    index: "Index | None",
    where: Filter | None = None,
    on_done: "Callable[[GenerationProgress], None] | None" = None,
) -> Iterator["StrategyResources"]:
    """What the strategies of these names need, opened, and closed afterwards.

    Says at the end how many queries went on unexpanded because the model failed.
    """
    from expander import STRATEGIES, StrategyResources
    from expander.concepts.vocabulary import read_vocabulary

    needs = {need for name in names if name in STRATEGIES for need in STRATEGIES[name].needs}
    with ExitStack() as stack:
        cached = generator(asked, stack, on_done) if "generator" in needs else None
        made = StrategyResources(
            generator=cached,
            searcher=index,
            corpus=index,
            vocabulary=[
                concept for path in asked.vocabulary or () for concept in read_vocabulary(path)
            ]
            or None,
            where=where,
        )
        yield made
        if cached is not None:
            _report_failures(cached.counts, quiet=asked.quiet)


def _report_failures(counts: "ReplyCounts", *, quiet: bool) -> None:
    if counts.failed:
        output.say(
            f"{output.counted(counts.failed, 'query', 'queries')} went on unexpanded", quiet=quiet
        )
    if counts.truncated:
        notes = output.counted(counts.truncated, "note")
        output.say(f"{notes} cut in the middle to fit the model's context", quiet=quiet)


def built(
    chosen: "SystemSettings",
    index: "Index",
    given: "StrategyResources",
    depth: int = DEPTH,
    wrap: "Callable[[str, Searcher], Searcher] | None" = None,
) -> "Searcher":
    """The searcher of a system over an index, under the k1 and b that are set for it."""
    from expander.systems.builder import build_searcher

    tuned = options.under(index, chosen.k1, chosen.b)
    return build_searcher(
        chosen.system,
        tuned,
        _strategy(chosen, tuned, given),
        phrases=_phrases(chosen, tuned),
        rrf_k=chosen.rrf_k,
        depth=depth,
        wrap=wrap,
    )


def _strategy(
    chosen: "SystemSettings", tuned: "Index", given: "StrategyResources"
) -> "Callable[[str], Expander]":
    """What makes the strategies of a system over an index under its settings."""
    from expander import make_strategy

    means = replace(given, searcher=tuned, corpus=tuned)
    return lambda name: make_strategy(name, means, chosen.strategy_settings(name))


def _phrases(chosen: "SystemSettings", tuned: "Index") -> "PhraseSearcher":
    from expander import PhraseSearcher

    settings = chosen.phrase_settings(tuned.bm25.k1, tuned.bm25.b)
    return PhraseSearcher(settings, searcher=tuned, corpus=tuned)


def chosen_system(
    expand: str | None, fuse: str | None, settings: Path | None, k1: float | None, b: float | None
) -> "SystemSettings":
    """The system that --expand and --fuse name or a file of settings holds; k1 and b win over it.

    Raises UsageError for --fuse alone and for both ways at once.
    """
    from expander import SystemSettings, parse_system_settings
    from expander.systems.system import parse_system

    if settings is None:
        return SystemSettings(parse_system(system_text(expand, fuse)), k1, b)
    if expand is not None or fuse is not None:
        raise UsageError("--settings names the system itself", hint="leave --expand and --fuse out")
    found = parse_system_settings(read_settings(settings).settings)
    return replace(found, k1=found.k1 if k1 is None else k1, b=found.b if b is None else b)


def read_settings(path: Path) -> "TunedSettings":
    """A file that tune-ir wrote."""
    from evaluator import read_tuned

    return read_tuned(path)


def system_text(expand: str | None, fuse: str | None) -> str:
    """The system that --expand and --fuse name. Raises UsageError for --fuse alone."""
    if expand is None:
        if fuse is not None:
            raise UsageError("--fuse goes with --expand", hint="--expand rm3 --fuse rrf")
        return "bm25"
    return f"{fuse}(bm25,{expand})" if fuse else expand
