"""`evaluate-ir`: retrieval measured as the field measures it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import UsageError
from patientdx.records import Qrels

from . import expansion, options, output

if TYPE_CHECKING:
    from evaluator import Evaluation, Table
    from expander.systems import System
    from indexer.index import Index


DataFolder = Annotated[
    Path | None, typer.Option("--data", help="A BEIR or ReCDS folder with queries and qrels.")
]
Split = Annotated[str, typer.Option("--split", help="Which judgements of --data.")]
QueriesFile = Annotated[str | None, typer.Option("--queries", help="A queries file.")]
QrelsFile = Annotated[str | None, typer.Option("--qrels", help="A judgements file.")]
Measures = Annotated[str, typer.Option("--measures", help="Measures as ir_measures names them.")]
Depth = Annotated[int, typer.Option("--depth", min=1, help="Hits taken a query.")]
Systems = Annotated[
    list[str] | None,
    typer.Option(
        "--system",
        help="bm25, a strategy, or a fusion such as 'rrf(bm25,keywords)'; may be repeated: "
        "the others are compared with the first.",
    ),
]
RrfK = Annotated[float, typer.Option("--rrf-k", min=0, help="The k of rank fusion.")]
RunFile = Annotated[Path | None, typer.Option("--run", help="Write the TREC run.")]
Plots = Annotated[
    list[Path] | None,
    typer.Option("--plot", help="Draw differences query by query: a .png or .svg file."),
]
PerQuery = Annotated[
    Path | None, typer.Option("--per-query", help="Write every query's values as CSV.")
]
Form = Annotated[str, typer.Option("--format", help="text, markdown, latex or json.")]


def evaluate_ir(
    index: options.IndexFolder = None,
    data: DataFolder = None,
    split: Split = "test",
    queries: QueriesFile = None,
    qrels: QrelsFile = None,
    measures: Measures = "RR P@10 nDCG@10 R@1000",
    depth: Depth = 1000,
    system: Systems = None,
    rrf_k: RrfK = 60,
    model: expansion.ModelName = expansion.DEFAULT_MODEL,
    backend: expansion.BackendName = "auto",
    quantize: expansion.Quantize = "none",
    dtype: expansion.Dtype = "auto",
    prompt_format: expansion.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: expansion.NoCache = False,
    allow_remote: expansion.AllowRemote = False,
    run: RunFile = None,
    plot: Plots = None,
    per_query: PerQuery = None,
    form: Form = "text",
    k1: options.K1 = None,
    b: options.B = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure an index against relevance judgements, with 95 % intervals.

    Example:
        patientdx evaluate-ir --index my-index --data ReCDS --split dev --format markdown
    """
    from evaluator import FORMATS, per_query_csv, plot_differences, render
    from patientdx.formats import atomic_writer, read_qrels

    if form not in FORMATS:
        raise UsageError(
            f"`{form}` is not a format of tables", hint=f"formats are {', '.join(FORMATS)}"
        )
    systems = _systems(system, run, plot)
    query_source, qrel_source = _sources(data, split, queries, qrels)
    opened = options.open_index(index, k1, b)
    asked = expansion.Asked(
        model,
        backend,
        quantize,
        prompt_format,
        tuple(vocabulary or ()),
        dtype=dtype,
        cached=not no_cache,
        allow_remote=allow_remote,
        quiet=quiet,
    )
    names = tuple(measures.replace(",", " ").split())
    work = _Work(query_source, read_qrels(qrel_source), names, depth, rrf_k, run)
    evaluations = _evaluate(opened, systems, asked, work)
    if per_query is not None:
        with atomic_writer(per_query) as out:
            out.write(per_query_csv(evaluations))
    if plot:
        plot_differences(evaluations, _plotted(names), plot)
    notes = _notes(opened, str(query_source), str(qrel_source), systems, asked, rrf_k)
    table = _table(evaluations, notes)
    typer.echo(render(table, "json" if as_json else form), nl=False)


@dataclass(frozen=True)
class _Work:
    """What every system is measured on, and how."""

    queries: Path | str
    qrels: Qrels
    measures: tuple[str, ...]
    depth: int
    rrf_k: float
    run: Path | None


def _systems(given: list[str] | None, run: Path | None, plot: list[Path] | None) -> list["System"]:
    from expander.systems import parse_system

    systems = [parse_system(text) for text in given or ["bm25"]]
    if len({str(one) for one in systems}) < len(systems):
        raise UsageError("a system is named twice")
    if run is not None and len(systems) > 1:
        raise UsageError("--run writes one system", hint="name one --system for each run")
    if plot and len(systems) < 2:
        raise UsageError("--plot compares systems", hint="--system bm25 --system rm3")
    return systems


def _evaluate(
    opened: "Index", systems: Sequence["System"], asked: expansion.Asked, work: _Work
) -> dict[str, "Evaluation"]:
    from evaluator import evaluate_searcher
    from expander.systems import build_system
    from patientdx.formats import read_queries, write_run

    queries = list(read_queries(work.queries))
    evaluations = {}
    names = frozenset().union(*(one.strategies for one in systems))
    total = len(systems) * len(work.qrels)
    own = expansion.phrases(opened)
    with (
        output.progress("evaluating", total, quiet=asked.quiet) as tick,
        expansion.strategies(names, asked, opened) as strategy,
    ):
        advance = _adding(tick)
        for one in systems:
            searcher = build_system(
                one, opened, strategy, phrases=own, rrf_k=work.rrf_k, depth=work.depth
            )
            evaluation, found, counts = evaluate_searcher(
                searcher, queries, work.qrels, work.measures, depth=work.depth, on_progress=advance
            )
            evaluations[str(one)] = evaluation
            if work.run is not None:
                write_run(work.run, found, f"patientdx-{one}")
    if counts.unjudged_dropped:
        said = f"{counts.unjudged_dropped:,} queries have no judgements: left out"
        output.say(said, quiet=asked.quiet)
    if counts.missing_queries:
        said = f"{counts.missing_queries:,} judged queries have no text: score 0"
        output.say(said, quiet=asked.quiet)
    return evaluations


def _adding(tick: Callable[[int], None]) -> Callable[[int], None]:
    """Turns steps into how much is done so far."""
    steps = [0]

    def advance(count: int) -> None:
        steps[0] += count
        tick(steps[0])

    return advance


def _plotted(measures: tuple[str, ...]) -> str:
    """The measure whose differences are drawn: nDCG@10 where it was computed."""
    return "nDCG@10" if "nDCG@10" in measures else measures[0]


def _table(evaluations: Mapping[str, "Evaluation"], notes: dict[str, str]) -> "Table":
    from evaluator import build_comparison_table, build_table

    if len(evaluations) == 1:
        return build_table(evaluations, notes)
    prompted = any("keywords" in name for name in evaluations)
    reconstructed = [expansion.RECONSTRUCTED] if prompted else []
    return build_comparison_table(evaluations, notes, reconstructed=reconstructed)


def _sources(
    data: Path | None, split: str, queries: str | None, qrels: str | None
) -> tuple[Path | str, Path | str]:
    from patientdx.formats import evaluation_files

    if data is not None and queries is None and qrels is None:
        files = evaluation_files(data, split)
        return files.queries, files.qrels
    if data is None and queries is not None and qrels is not None:
        return queries, qrels
    raise UsageError(
        "give --data FOLDER, or both --queries and --qrels",
        hint="evaluate-ir --index my-index --data ReCDS --split dev",
    )


def _notes(
    opened: "Index",
    queries: str,
    qrels: str,
    systems: Sequence["System"],
    asked: expansion.Asked,
    rrf_k: float,
) -> dict[str, str]:
    analysis, bm25 = opened.manifest.analysis, opened.bm25
    notes = {
        "queries": queries,
        "qrels": qrels,
        "corpus": f"{opened.size:,} patients, index {opened.manifest.digest[:12]}",
        "system": f"bm25: k1 {bm25.k1}, b {bm25.b}, stop words {analysis.stopwords}, "
        f"stemmer {analysis.stemmer}; identical ids dropped; RR over the whole ranking",
    }
    if any(one.parts for one in systems):
        notes["fusion"] = f"k of RRF {rrf_k:g}; RR of a fusion is over its hits only"
    if frozenset().union(*(one.strategies for one in systems)) & expansion.PROMPTED:
        notes["model"] = f"{asked.model}, greedy"
    return notes
