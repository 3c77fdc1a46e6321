"""`evaluate-ir`: retrieval measured as the field measures it, over an index or from runs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from console.option_groups import Excludes, Mode, Needs, Values, command
from console.output import Output
from console.output_files import NewFiles
from patientdx.errors import UsageError

from . import options
from .model_options import DEFAULT_MODEL, GeneratorOptions
from .query_options import (
    K1,
    MODEL_OPTIONS,
    UNIT_RULES,
    B,
    Depth,
    JudgementOptions,
    Measures,
    UnitOptions,
    Vocabulary,
    WriteRun,
    asks_a_model,
    check_table_format,
    generator_settings,
    uses_vocabulary,
)

if TYPE_CHECKING:
    from expander import SystemSettings
    from indexer.index import Index
    from workflows.retrieval_evaluation import RetrievalEvaluation

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
RrfK = Annotated[float, typer.Option("--rrf-k", min=0, help="The constant k of rank fusion (RRF).")]
Runs = Annotated[
    list[Path] | None,
    typer.Option(
        "--run",
        help="Evaluate this TREC run instead of an index; may be repeated: the others are "
        "compared with the first.",
    ),
]
Plots = Annotated[
    list[Path] | None,
    typer.Option("--plot", help="Draw differences query by query: a .png or .svg file."),
]
PerQuery = Annotated[
    Path | None,
    typer.Option(
        "--per-query", help="Write every query's values as CSV; - prints them instead of the table."
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format", help="Format of the table: text, markdown, latex, json or tsv (means only)."
    ),
]

PAPER_EXAMPLE = "evaluate-ir --preset paper --model PatientDx-8B --data ReCDS-PPR --index my-index"
RUN_MODE = Mode(
    "run",
    frozenset({"data", "split", "qrels", "measures", "plot", "per_query", "table_format"})
    | {"as_json", "quiet", "force", "own_notes"},
    hints={
        "index": "runs need no index; to write the hits of an index as a run, use --write-run FILE",
        "queries": "runs hold their hits; name the judgements by --qrels FILE",
    },
)


def _asks_a_model(values: Values) -> bool:
    return values["preset"] is not None or asks_a_model("system")(values)


def _has_a_fusion(values: Values) -> bool:
    return any("(" in name for name in values["system"] or ())


@command(
    RUN_MODE,
    Needs(MODEL_OPTIONS, _asks_a_model, "model options go with --system keywords"),
    Needs(("vocabulary",), uses_vocabulary("system"), "--vocabulary goes with --system synonyms"),
    Needs(("rrf_k",), _has_a_fusion, "--rrf-k goes with a fusion: --system 'rrf(bm25,rm3)'"),
    Needs(("split",), lambda values: values["data"] is not None, "--split goes with --data"),
    *UNIT_RULES,
    Excludes(("as_json", "table_format")),
    NewFiles("write_run", "per_query", "plot"),
)
def evaluate_ir(
    index: options.IndexFolder = None,
    run: Runs = None,
    measures: Measures = "RR P@10 nDCG@10 R@1000",
    depth: Depth = 1000,
    system: Systems = None,
    settings: SettingsFiles = None,
    preset: Preset = None,
    rrf_k: RrfK = 60,
    vocabulary: Vocabulary = None,
    write_run: WriteRun = None,
    plot: Plots = None,
    per_query: PerQuery = None,
    table_format: Format = "text",
    k1: K1 = None,
    b: B = None,
    *,
    judgements: JudgementOptions,
    unit: UnitOptions,
    model: GeneratorOptions,
    output: Output,
) -> None:
    """Measure an index, or existing runs, against relevance judgements, with 95 % intervals.

    Example:
        patientdx evaluate-ir --index my-index --data ReCDS --split dev --format markdown
    """
    check_table_format(table_format, "tsv")
    from evaluator import split_measures

    names = split_measures(measures)
    if run:
        _check_plot(len(run), plot)
        evaluation = _evaluate_runs(run, judgements, names, output)
    else:
        if preset is not None:
            system, model = _paper_experiment(system, settings, judgements, model)
        systems = _resolve_systems(system, settings, rrf_k, k1, b)
        _check_plot(len(systems), plot)
        resources = {
            "generator": generator_settings(model),
            "vocabularies": tuple(vocabulary or ()),
        }
        evaluation = _evaluate_systems(
            systems,
            unit.open_index(index),
            judgements,
            names,
            depth,
            resources,
            settings,
            write_run,
            output,
        )
    if plot:
        evaluation.plot(plot)
    if per_query is not None:
        evaluation.write_per_query(per_query)
    if per_query != Path("-"):
        _print_table(evaluation, "json" if output.as_json else table_format, output)


def _paper_experiment(
    system: list[str] | None,
    settings: list[Path] | None,
    judgements: JudgementOptions,
    model: GeneratorOptions,
) -> tuple[list[str], GeneratorOptions]:
    """The paper's experiment unchanged. Raises UsageError for what would change it."""
    from workflows.retrieval_evaluation import PAPER_SYSTEMS

    if system or settings:
        raise UsageError("--preset names the systems itself", hint=PAPER_EXAMPLE)
    if judgements.data is None or judgements.split != "test":
        raise UsageError(
            "the paper's experiment is on the test split of --data", hint=PAPER_EXAMPLE
        )
    if model.model == DEFAULT_MODEL:
        raise UsageError("the paper's experiment needs --model, a PatientDx 8B", hint=PAPER_EXAMPLE)
    return list(PAPER_SYSTEMS), replace(model, quantize="nf4")


def _resolve_systems(
    system: list[str] | None,
    settings: list[Path] | None,
    rrf_k: float,
    k1: float | None,
    b: float | None,
) -> "dict[str, SystemSettings]":
    from workflows.retrieval_evaluation import resolve_systems

    return resolve_systems(system or (), settings or (), rrf_k=rrf_k, k1=k1, b=b)


def _evaluate_systems(
    systems: "dict[str, SystemSettings]",
    index: "Index",
    judgements: JudgementOptions,
    measures: list[str],
    depth: int,
    resources: dict[str, Any],
    settings: list[Path] | None,
    write_run: Path | None,
    output: Output,
) -> "RetrievalEvaluation":
    from patientdx.formats import write_run as write_trec_run
    from workflows.retrieval_evaluation import evaluate_systems, optimism_notes
    from workflows.systems import unit_suffix

    if write_run is not None and len(systems) > 1:
        raise UsageError("--write-run writes one system", hint="name one --system for each run")
    judged = judgements.judged_queries()
    notes = optimism_notes(settings or (), judged.qrels, output)
    evaluation = evaluate_systems(
        index,
        systems,
        judged,
        measures,
        depth=depth,
        own_notes=judgements.own_notes,
        keep_runs=write_run is not None,
        monitor=output,
        **resources,
    )
    if write_run is not None:
        ((name, run),) = evaluation.runs.items()
        write_trec_run(write_run, run, f"patientdx-{systems[name]}{unit_suffix(index)}")
    return replace(evaluation, notes={**evaluation.notes, **notes})


def _evaluate_runs(
    paths: list[Path], judgements: JudgementOptions, measures: list[str], output: Output
) -> "RetrievalEvaluation":
    from workflows.retrieval_evaluation import evaluate_runs

    path: Path | str
    of_patients = False
    if judgements.qrels is not None and judgements.data is None:
        path = judgements.qrels
    elif judgements.data is not None and judgements.qrels is None:
        judged = judgements.judged_queries()
        path, of_patients = judged.qrels_path, judged.of_patients
    else:
        raise UsageError(
            "give the judgements by --qrels FILE, or by --data FOLDER",
            hint="evaluate-ir --run hits.trec --qrels qrels.tsv",
        )
    return evaluate_runs(
        paths,
        path,
        measures,
        own_notes=judgements.own_notes,
        of_patients=of_patients,
        monitor=output,
    )


def _check_plot(systems: int, plot: list[Path] | None) -> None:
    if plot and systems < 2:
        raise UsageError("--plot compares systems", hint="--system bm25 --system rm3")


def _print_table(evaluation: "RetrievalEvaluation", table_format: str, output: Output) -> None:
    from evaluator import render_table

    if table_format == "tsv":
        output.lines("\t".join(row) for row in evaluation.mean_rows())
    else:
        typer.echo(render_table(evaluation.table(), table_format), nl=False)
