"""`evaluate-ir`: retrieval measured as the field measures it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import UsageError
from patientdx.records import Qrels

from . import asking, expansion, judged, options, output

if TYPE_CHECKING:
    from evaluator import Counts, Evaluation, Table
    from expander import SystemSettings
    from indexer.index import Index


Measures = Annotated[str, typer.Option("--measures", help="Measures as ir_measures names them.")]
Systems = Annotated[
    list[str] | None,
    typer.Option(
        "--system",
        help="bm25, a strategy, or a fusion such as 'rrf(bm25,keywords)'; may be repeated: "
        "the others are compared with the first.",
    ),
]
SettingsFiles = Annotated[
    list[Path] | None,
    typer.Option("--settings", help="Also a system that tune-ir wrote; may be repeated."),
]
Preset = Annotated[
    Literal["paper"] | None,
    typer.Option(
        "--preset",
        help="paper: its experiment. BM25, keywords and their RRF, by --model FOLDER in NF4, "
        "200 tokens, on the test split of --data.",
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
PAPER = ("bm25", "keywords", "rrf(bm25,keywords)")


def evaluate_ir(
    index: options.IndexFolder = None,
    data: judged.DataFolder = None,
    split: judged.Split = "test",
    queries: judged.QueriesFile = None,
    qrels: judged.QrelsFile = None,
    measures: Measures = "RR P@10 nDCG@10 R@1000",
    depth: judged.Depth = 1000,
    system: Systems = None,
    settings: SettingsFiles = None,
    preset: Preset = None,
    rrf_k: RrfK = 60,
    model: asking.ModelName = asking.DEFAULT_MODEL,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: asking.NoCache = False,
    allow_remote: asking.AllowRemote = False,
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
    from evaluator import render
    from patientdx.formats import read_qrels

    judged.check_format(form)
    asked = asking.Asked(
        model, backend, quantize, dtype, prompt_format, vocabulary, no_cache, allow_remote, quiet
    )
    if preset is not None:
        system, asked = _paper(system, settings, data, split, asked)
    sources = judged.sources(data, split, queries, qrels)
    work = _Work(sources.queries, read_qrels(sources.qrels), _names(measures), depth, run)
    systems = _systems(system, settings, rrf_k, k1, b)
    _check(systems, run, plot)
    flattered = _flattered(settings, work.qrels, quiet=quiet)
    opened = options.open_index(index)
    evaluations = _evaluate(opened, systems, asked, work)
    _write(evaluations, per_query, plot)
    notes = {"queries": str(sources.queries), "qrels": str(sources.qrels)}
    notes |= _notes(opened, systems, asked) | flattered
    table = _table(evaluations, notes)
    typer.echo(render(table, "json" if as_json else form), nl=False)


@dataclass(frozen=True)
class _Work:
    """What every system is measured on, and how."""

    queries: Path | str
    qrels: Qrels
    measures: tuple[str, ...]
    depth: int
    run: Path | None


def _names(measures: str) -> tuple[str, ...]:
    return tuple(measures.replace(",", " ").split())


def _paper(
    system: list[str] | None,
    settings: list[Path] | None,
    data: Path | None,
    split: str,
    asked: asking.Asked,
) -> tuple[list[str], asking.Asked]:
    """The paper's experiment as it stands. Raises UsageError for what would change it."""
    example = "evaluate-ir --preset paper --model PatientDx-8B --data ReCDS-PPR --index my-index"
    if system or settings:
        raise UsageError("--preset names the systems itself", hint=example)
    if data is None or split != "test":
        raise UsageError("the paper's experiment is on the test split of --data", hint=example)
    if asked.model == asking.DEFAULT_MODEL:
        raise UsageError("the paper's experiment needs --model, a PatientDx 8B", hint=example)
    return list(PAPER), replace(asked, quantize="nf4")


def _systems(
    given: list[str] | None,
    settings: list[Path] | None,
    rrf_k: float,
    k1: float | None,
    b: float | None,
) -> dict[str, "SystemSettings"]:
    """The systems by the names that tables show."""
    from expander import SystemSettings, parse_system_settings
    from expander.systems.system import parse_system

    parsed = [parse_system(text) for text in given or ([] if settings else ["bm25"])]
    systems = {str(one): SystemSettings(one, k1, b, rrf_k) for one in parsed}
    if len(systems) < len(parsed):
        raise UsageError("a system is named twice")
    for path in settings or ():
        tuned = parse_system_settings(expansion.read_settings(path).settings)
        name = f"{tuned} [{path.stem}]"
        if name in systems:
            raise UsageError(f"two files of settings are called `{path.stem}`")
        systems[name] = tuned
    return systems


def _check(
    systems: Mapping[str, "SystemSettings"], run: Path | None, plot: list[Path] | None
) -> None:
    if run is not None and len(systems) > 1:
        raise UsageError("--run writes one system", hint="name one --system for each run")
    if plot and len(systems) < 2:
        raise UsageError("--plot compares systems", hint="--system bm25 --system rm3")


def _flattered(settings: list[Path] | None, qrels: Qrels, *, quiet: bool) -> dict[str, str]:
    """A note, and a warning, where settings were chosen by these very judgements."""
    from evaluator import tuned_on

    chosen_by = [p.name for p in settings or () if tuned_on(expansion.read_settings(p), qrels)]
    if not chosen_by:
        return {}
    said = f"{', '.join(chosen_by)}: tuned on these judgements, so its figures flatter it"
    output.say(f"warning: {said}", quiet=quiet)
    return {"tuning": said}


def _evaluate(
    opened: "Index",
    systems: Mapping[str, "SystemSettings"],
    asked: asking.Asked,
    work: _Work,
) -> dict[str, "Evaluation"]:
    from evaluator import evaluate_searcher
    from patientdx.formats import read_queries, write_run

    queries = list(read_queries(work.queries))
    evaluations = {}
    names = frozenset().union(*(one.system.strategies for one in systems.values()))
    total = len(systems) * len(work.qrels)
    with (
        output.progress("evaluating", total, quiet=asked.quiet) as tick,
        expansion.means(names, asked, opened) as given,
    ):
        advance = adding(tick)
        for name, one in systems.items():
            evaluation, found, counts = evaluate_searcher(
                expansion.built(one, opened, given, work.depth),
                queries,
                work.qrels,
                work.measures,
                depth=work.depth,
                on_progress=advance,
            )
            evaluations[name] = evaluation
            if work.run is not None:
                write_run(work.run, found, f"patientdx-{one}")
    _say_what_was_left(counts, quiet=asked.quiet)
    return evaluations


def _say_what_was_left(counts: "Counts", *, quiet: bool) -> None:
    if counts.unjudged_dropped:
        said = output.counted(counts.unjudged_dropped, "query", "queries")
        output.say(f"{said} without judgements: left out", quiet=quiet)
    if counts.missing_queries:
        said = output.counted(counts.missing_queries, "judged query", "judged queries")
        output.say(f"{said} without a text: score 0", quiet=quiet)


def adding(tick: Callable[[int], None]) -> Callable[[int], None]:
    """Turns steps into how much is done so far."""
    steps = [0]

    def advance(count: int) -> None:
        steps[0] += count
        tick(steps[0])

    return advance


def _write(
    evaluations: Mapping[str, "Evaluation"], per_query: Path | None, plot: list[Path] | None
) -> None:
    """The files that were asked for; drawn are differences in nDCG@10 where it was computed."""
    from evaluator import per_query_csv, plot_differences
    from patientdx.formats import atomic_writer

    if per_query is not None:
        with atomic_writer(per_query) as out:
            out.write(per_query_csv(evaluations))
    if plot:
        measures = next(iter(evaluations.values())).measures
        chosen = "nDCG@10" if "nDCG@10" in measures else measures[0]
        plot_differences(evaluations, chosen, plot)


def _table(evaluations: Mapping[str, "Evaluation"], notes: dict[str, str]) -> "Table":
    from evaluator import build_comparison_table, build_table

    if len(evaluations) == 1:
        return build_table(evaluations, notes)
    prompted = any("keywords" in name for name in evaluations)
    reconstructed = [expansion.RECONSTRUCTED] if prompted else []
    return build_comparison_table(evaluations, notes, reconstructed=reconstructed)


def _notes(
    opened: "Index", systems: Mapping[str, "SystemSettings"], asked: asking.Asked
) -> dict[str, str]:
    chosen = [*systems.values()]
    notes = index_notes(opened, options.under(opened, chosen[0].k1, chosen[0].b))
    if any(one.system.parts for one in chosen):
        ks = sorted({one.rrf_k for one in chosen if one.system.parts})
        shown = ", ".join(f"{k:g}" for k in ks)
        notes["fusion"] = f"k of RRF {shown}; RR of a fusion is over its hits only"
    if frozenset().union(*(one.system.strategies for one in chosen)) & expansion.PROMPTED:
        notes["model"] = model_note(asked)
    return notes


def index_notes(opened: "Index", under: "Index") -> dict[str, str]:
    """What was searched, and how BM25 was set."""
    facts, bm25 = opened.describe(), under.bm25
    return {
        "corpus": f"{opened.size:,} patients, index {opened.digest[:12]}",
        "system": f"bm25: k1 {bm25.k1}, b {bm25.b}, stop words {facts['stop_words']}, "
        f"stemmer {facts['stemmer']}; identical ids dropped; RR over the whole ranking",
    }


def model_note(asked: asking.Asked) -> str:
    """Which model wrote, and how."""
    four_bits = ", NF4" if asked.quantize == "nf4" else ""
    return f"{asked.model}{four_bits}, greedy, at most 200 new tokens"
