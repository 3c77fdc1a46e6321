"""Options of expansion that several commands share, and the rooms that they join."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import ModelError, UsageError
from patientdx.records import Filter, Query

from . import options, output
from .hits import Finding

if TYPE_CHECKING:
    from expander import CachedGenerator, Done, Means, PhraseSearcher, ReplyCache
    from indexer.index import Index
    from patientdx.protocols import Expander, Searcher

DEFAULT_MODEL = "smollm2"
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
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="PATIENTDX_MODEL",
        help="Language model: smollm2, a .gguf file, a folder of safetensors, a server.",
    ),
]
BackendName = Annotated[
    Literal["auto", "llamacpp", "hf", "vllm", "server"],
    typer.Option("--backend", help="What runs the model (default: by what it is)."),
]
Quantize = Annotated[
    Literal["none", "nf4"], typer.Option("--quantize", help="nf4: four bits a weight (hf, vllm).")
]
Dtype = Annotated[
    Literal["auto", "bfloat16", "float16", "float32"],
    typer.Option("--dtype", help="Precision of the model's numbers (hf, vllm)."),
]
PromptFormat = Annotated[
    Literal["auto", "chat", "raw"],
    typer.Option("--prompt-format", help="Apply the model's chat template, or do not."),
]
Vocabulary = Annotated[
    list[Path] | None,
    typer.Option(
        "--vocabulary", help="OBO or CSV file of concepts, for synonyms; may be repeated."
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Keep no replies of the model after this command.")
]
AllowRemote = Annotated[
    bool,
    typer.Option("--allow-remote", help="Let PATIENT TEXT go to a server on another machine."),
]


@dataclass(frozen=True)
class Asked:
    """What the options say about models and vocabularies."""

    model: str = DEFAULT_MODEL
    backend: Literal["auto", "llamacpp", "hf", "vllm", "server"] = "auto"
    quantize: Literal["none", "nf4"] = "none"
    prompt_format: Literal["auto", "chat", "raw"] = "auto"
    vocabulary: tuple[Path, ...] = ()
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    cached: bool = True
    allow_remote: bool = False
    quiet: bool = False


def cache_path() -> Path:
    """The file that keeps replies of language models."""
    return options.settings().cache / "expansions.sqlite3"


@contextmanager
def strategies(
    names: Collection[str],
    asked: Asked,
    index: "Index | None",
    where: Filter | None = None,
    on_done: "Callable[[Done], None] | None" = None,
) -> Iterator[Callable[[str], "Expander"]]:
    """What makes the expander of a name; opens what these strategies need, and closes it.

    Says at the end how many queries went on unexpanded because the model failed.
    """
    from expander import STRATEGIES, Means, make_strategy
    from expander.vocabulary import read_vocabulary

    needs = {need for name in names if name in STRATEGIES for need in STRATEGIES[name].needs}
    with ExitStack() as stack:
        means = Means(
            generator=_generator(asked, stack, on_done) if "generator" in needs else None,
            searcher=index,
            corpus=index,
            vocabulary=[concept for path in asked.vocabulary for concept in read_vocabulary(path)]
            or None,
            where=where,
        )
        made: dict[str, Expander] = {}

        def strategy(name: str) -> "Expander":
            if name not in made:
                made[name] = make_strategy(name, means)
            return made[name]

        yield strategy
        _say_what_failed(means, quiet=asked.quiet)


def _generator(
    asked: Asked, stack: ExitStack, on_done: "Callable[[Done], None] | None"
) -> "CachedGenerator":
    from expander import CachedGenerator
    from patientdx.models import ModelSettings, open_model

    def warn(sentence: str) -> None:
        output.say(f"warning: {sentence}", quiet=asked.quiet)

    def failed(error: ModelError, count: int) -> None:
        warn(f"{count:,} prompts got no reply: {error.message}")

    model = open_model(
        asked.model,
        ModelSettings(
            backend=asked.backend,
            quantize=asked.quantize,
            dtype=asked.dtype,
            prompt_format=asked.prompt_format,
            allow_remote=asked.allow_remote,
            threads=options.settings().threads,
            cache=options.settings().cache,
        ),
        warn=warn,
    )
    stack.callback(model.close)
    cache = _reply_cache(asked, stack)
    return CachedGenerator(model, cache, on_done=on_done, on_failure=failed)


def _reply_cache(asked: Asked, stack: ExitStack) -> "ReplyCache":
    """The cache of replies; without one that lasts, one for this command alone."""
    from expander import ReplyCache

    path = cache_path()
    if not asked.cached:
        path = (
            Path(stack.enter_context(TemporaryDirectory(prefix="patientdx-"))) / "replies.sqlite3"
        )
    return stack.enter_context(ReplyCache(path))


def _say_what_failed(means: "Means", *, quiet: bool) -> None:
    generator = means.generator
    if generator is None:
        return
    counts = getattr(generator, "counts", None)
    if counts is not None and counts.failed:
        output.say(f"{counts.failed:,} queries went on unexpanded", quiet=quiet)
    if generator.cut:
        output.say(
            f"{generator.cut:,} notes were cut in the middle to fit the model's context",
            quiet=quiet,
        )


@contextmanager
def searcher(
    system: str, asked: Asked, index: "Index", where: Filter | None = None
) -> Iterator[tuple["Searcher", Callable[[Sequence[Query]], Sequence[Query]]]]:
    """The searcher of a system over an index, and what it makes of queries."""
    from expander.systems import PHRASES, build_system, parse_system

    parsed = parse_system(system)
    own = phrases(index)
    with strategies(parsed.strategies, asked, index, where) as strategy:

        def expanded(queries: Sequence[Query]) -> Sequence[Query]:
            if PHRASES in str(parsed):
                return own.weighed(queries, where)
            for name in sorted(parsed.strategies):
                queries = strategy(name).expand_many(queries)
            return queries

        yield build_system(parsed, index, strategy, phrases=own), expanded


def phrases(index: "Index") -> "PhraseSearcher":
    """The system `phrases` over an index, under its k1 and b."""
    from expander import PhraseSearcher, PhraseSettings

    settings = PhraseSettings(index.bm25.k1, index.bm25.b)
    return PhraseSearcher(settings, searcher=index, corpus=index)


def find(
    opened: "Index",
    query: Query,
    system: str,
    asked: Asked,
    where: Filter,
    top_k: int,
) -> Finding:
    """The hits of a system, and where an expansion moved them from."""
    with searcher(system, asked, opened, where) as (chosen, expanded):
        hits = chosen.search_many([query], top_k, where)[0]
        became = expanded([query])[0]
    if system == "bm25":
        return Finding(opened, query, hits)
    before = opened.search_many([query], max(DEPTH, top_k), where)[0]
    ranks = {hit.doc_id: rank for rank, hit in enumerate(before, 1)}
    return Finding(opened, became, hits, system, added_terms(query, became), ranks)


def system_text(expand: str | None, fuse: str | None) -> str:
    """The system that --expand and --fuse name. Raises UsageError for --fuse alone."""
    if expand is None:
        if fuse is not None:
            raise UsageError("--fuse goes with --expand", hint="--expand rm3 --fuse rrf")
        return "bm25"
    return f"{fuse}(bm25,{expand})" if fuse else expand


def added_terms(query: Query, expanded: Query) -> dict[str, float]:
    """Words and index terms that an expander added, the weightiest first."""
    from expander import Expansion, expansion_row

    row = expansion_row(Expansion(query, expanded, None))
    added = {**row["weights"], **row["terms"]}
    return dict(sorted(added.items(), key=lambda pair: (-pair[1], pair[0])))
