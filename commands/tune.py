"""`tune-ir`: the numbers of a retrieval system, chosen on a dev split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import UsageError
from patientdx.records import Qrels

from . import asking, expansion, judged, options, output
from .evaluate import adding, index_notes, model_note

if TYPE_CHECKING:
    from evaluator import Folds, RunMemory, Setting, Tuning
    from expander import SystemSettings
    from expander.systems.system import System
    from indexer.index import Index
    from patientdx.protocols import Searcher

    Settings = Mapping[str, Setting]

System_ = Annotated[
    str,
    typer.Option("--system", help="phrases, bm25, a strategy or a fusion such as rrf(bm25,rm3)."),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        help="Values to try, the default first: k1=0.9,1.2 b=0.4 rrf_k=60,20 weights=1:1,1:0.5 "
        "rm3.terms=10,20 phrases.pair_weight=0.5,1; may be repeated.",
    ),
]
Measures = Annotated[
    str, typer.Option("--measures", help="The first decides, the others are shown.")
]
Number = Annotated[int, typer.Option("--folds", min=2, help="Folds of the queries.")]
Seed = Annotated[int, typer.Option("--seed", help="Deals the folds.")]
Into = Annotated[Path | None, typer.Option("--into", help="Write the settings to this file.")]
Form = Annotated[str, typer.Option("--format", help="text, markdown, latex or json.")]


def tune_ir(
    index: options.IndexFolder = None,
    data: judged.DataFolder = None,
    split: judged.Split = "dev",
    queries: judged.QueriesFile = None,
    qrels: judged.QrelsFile = None,
    system: System_ = "phrases",
    grid: Grid = None,
    measures: Measures = "nDCG@10",
    folds: Number = 5,
    seed: Seed = 0,
    depth: judged.Depth = 1000,
    into: Into = None,
    model: asking.ModelName = asking.DEFAULT_MODEL,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: asking.NoCache = False,
    allow_remote: asking.AllowRemote = False,
    form: Form = "text",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose k1, b, weights and the like on judged queries, and say what that is worth.

    Shown are the values of queries under settings chosen without them (cross-validation), beside
    those of the defaults. The file goes to search, similar and evaluate-ir as --settings.

    Example:
        patientdx tune-ir --index my-index --data ReCDS --system phrases --into tuned.json
    """
    from evaluator import Folds, build_comparison_table, render, tuned_settings, write_tuned
    from patientdx.formats import read_qrels

    judged.check_format(form)
    if data is not None and split == "test":
        raise UsageError("tuning does not look at the test split", hint="--split dev")
    asked = asking.Asked(
        model, backend, quantize, dtype, prompt_format, vocabulary, no_cache, allow_remote, quiet
    )
    sources = judged.sources(data, split, queries, qrels)
    opened = options.open_index(index)
    chosen, candidates = _candidates(system, grid, opened)
    names = measures.replace(",", " ").split()
    work = _Work(sources, read_qrels(sources.qrels), names, Folds(folds, seed), depth)
    tuning = _tune(opened, chosen, candidates, asked, work)
    notes = {
        "queries": str(sources.queries),
        "qrels": str(sources.qrels),
        **index_notes(opened, opened),
        **_notes(chosen, tuning, asked),
    }
    if into is not None:
        write_tuned(into, tuned_settings(tuning, notes))
        output.say(f"written to {into}", quiet=quiet)
    rows = {f"{chosen}, default": tuning.untuned, f"{chosen}, tuned": tuning.out_of_fold}
    table = build_comparison_table(rows, notes)
    typer.echo(render(table, "json" if as_json else form), nl=False)


@dataclass(frozen=True)
class _Work:
    """What candidates are measured on, and how."""

    sources: judged.Sources
    qrels: Qrels
    measures: Sequence[str]
    folds: "Folds"
    depth: int


def _candidates(
    system: str, grid: list[str] | None, opened: "Index"
) -> tuple["System", list[dict[str, "Setting"]]]:
    """The system, and every combination of values; all of them are checked."""
    from evaluator import grid as combinations
    from expander import default_axes, parse_system_settings
    from expander.systems.system import parse_system

    parsed = parse_system(system)
    axes = default_axes(parsed, opened.bm25.k1, opened.bm25.b)
    axes |= dict(_axis(one) for one in grid or ())
    candidates = combinations({"system": [str(parsed)], **axes})
    for one in candidates:
        found = parse_system_settings(one)
        options.under(opened, found.k1, found.b)
    return parsed, candidates


def _axis(text: str) -> tuple[str, list["Setting"]]:
    name, equals, values = text.partition("=")
    if not name or not equals or not values:
        raise UsageError(f"--grid is NAME=VALUE,VALUE, not `{text}`", hint="--grid k1=0.9,1.2,2")
    return name.strip(), [_value(one.strip()) for one in values.split(",")]


def _value(text: str) -> "Setting":
    """A truth value, a whole number, a number, else the words."""
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _tune(
    opened: "Index",
    system: "System",
    candidates: Sequence["Settings"],
    asked: asking.Asked,
    work: _Work,
) -> "Tuning":
    from evaluator import RunMemory, tune
    from expander import parse_system_settings
    from patientdx.formats import read_queries

    queries = list(read_queries(work.sources.queries))
    memory = RunMemory() if system.parts else None
    total = len(candidates) * len(work.qrels)
    said = f"{output.counted(len(candidates), 'candidate')}, {len(work.qrels):,} judged queries"
    output.say(said, quiet=asked.quiet)
    with (
        output.progress("tuning", total, quiet=asked.quiet) as tick,
        expansion.means(system.strategies, asked, opened) as given,
    ):

        def searcher(settings: "Settings") -> "Searcher":
            chosen = parse_system_settings(settings)
            return expansion.built(chosen, opened, given, work.depth, _wrapper(memory, chosen))

        return tune(
            searcher,
            candidates,
            queries,
            work.qrels,
            work.measures,
            folds=work.folds,
            depth=work.depth,
            on_progress=adding(tick),
        )


def _wrapper(
    memory: "RunMemory | None", chosen: "SystemSettings"
) -> "Callable[[str, Searcher], Searcher] | None":
    """Lets candidates that differ only in fusion share the runs that are fused."""
    if memory is None:
        return None

    def remembered(name: str, searcher: "Searcher") -> "Searcher":
        own = tuple(sorted(chosen.strategies.get(name, {}).items()))
        return memory.of((chosen.k1, chosen.b), (name, own), searcher)

    return remembered


def _notes(system: "System", tuning: "Tuning", asked: asking.Asked) -> dict[str, str]:
    """What was tried and chosen."""
    number = len(tuning.candidates)
    notes = {
        "chosen": _shown(tuning.settings),
        "of": f"{number:,} candidates, by {tuning.measure}; its own mean over the queries it was "
        f"chosen by, {tuning.means[tuning.chosen]:.4f}, flatters it",
        "tuned": "each query under what was chosen without its fold; "
        f"{tuning.folds.number} folds, seed {tuning.folds.seed}, "
        f"{output.counted(len(set(tuning.fold_choices)), 'choice')} in all",
    }
    if system.strategies & expansion.PROMPTED:
        notes["model"] = model_note(asked)
    return notes


def _shown(settings: "Settings") -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
