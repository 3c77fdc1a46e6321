"""`tune-merge`: the λ of a merge, chosen on patients without training on them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.option_groups import Excludes, Needs, command, is_set
from console.output_files import NewFiles
from patientdx.errors import UsageError

from . import options
from .query_options import QUERY_FIELDS
from .report_options import ONE_FORMAT, ReportOptions
from .tune_merge_options import (
    LM_EVAL,
    LiveModelOptions,
    ModelSetOptions,
    RetentionOptions,
    SearchOptions,
    SourceOptions,
    TuningFileOptions,
)

if TYPE_CHECKING:
    from workflows.lambda_search import MergeChoice, MergeTuner, ModelSet

Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="A recipe (MergeKit YAML), or two models, Math first; with optuna also more models; "
        "with --base one or more.",
        show_default=False,
    ),
]
Into = Annotated[Path | None, typer.Option("--into", help="Write the chosen merge to this folder.")]
Epsilon = Annotated[
    str | None,
    typer.Option(
        "--epsilon",
        help="Choose by the exponential mechanism: with grid and auroc or auroc-hard, one stay a "
        "patient. Nothing but the choice is shown.",
    ),
]


def _uses_method(values: Any) -> bool:
    return len(values["models"] or ()) != 1 or bool(values["pair"]) or values["base"] is not None


def _uses_tasks(values: Any) -> bool:
    return bool(values["lm_eval"]) or str(values["metric"]).startswith(LM_EVAL)


_OF_QUERIES = (*QUERY_FIELDS, "own_notes", "empty_queries")
_JUDGED = is_set("data", "queries", "qrels")
_FIGURES = ("curve", "plot", "power", "pareto")
_RETENTION = ("retention_text", "lm_eval")
_PRIVATE = "--epsilon shows the choice of one pair, and nothing else"


@command(
    Needs(("method",), _uses_method, "a recipe has its own method"),
    Excludes(("base", "pair")),
    Needs(("max_lambda",), is_set("base"), "--max-lambda goes with --base"),
    Needs(("sections", "sample"), is_set("cohort"), "--sections and --sample go with --cohort"),
    Needs(("split",), is_set("data"), "--split goes with --data"),
    Needs(("index", "system", "depth", *_OF_QUERIES), _JUDGED, "name judged queries: --data ReCDS"),
    Needs(("groups", "trials"), lambda values: values["strategy"] == "optuna", "--strategy optuna"),
    Needs(("step",), lambda values: values["strategy"] != "optuna", "--strategy grid or halving"),
    Needs(("share",), lambda values: values["strategy"] == "halving", "--strategy halving"),
    Needs(("without_math",), is_set("ablation"), "--without-math MODEL goes with --ablation FILE"),
    Needs(("ablation",), is_set("without_math"), "--ablation FILE goes with --without-math MODEL"),
    Needs(
        (*_FIGURES, *_RETENTION, "ablation", "out", "form", "folds", "resamples"),
        lambda values: values["epsilon"] is None,
        _PRIVATE,
    ),
    Needs(("pareto",), is_set(*_RETENTION), "--pareto goes with --retention-text or --lm-eval"),
    Needs(("lm_eval_tasks", "lm_eval_items"), _uses_tasks, "name a task: --lm-eval TASK"),
    ONE_FORMAT,
    NewFiles(*_FIGURES, "ablation", "out"),
)
def tune_merge(
    models: Models = None,
    *,
    model_sets: ModelSetOptions,
    source: SourceOptions,
    search: SearchOptions,
    retention: RetentionOptions,
    epsilon: Epsilon = None,
    live: LiveModelOptions,
    into: Into = None,
    files: TuningFileOptions,
    report: ReportOptions,
) -> None:
    """Choose λ on one part of the patients, judge it on the other; nothing is trained.

    λ is MergeKit's t: 0 is the first model, 1 the second; with --base, 0 is the base and λ the
    factor of the differences of all other models from it. Answers are kept as they come, so that
    a command that was killed goes on where it stopped.

    Example:
        patientdx tune-merge math-model medical-model --cohort cohort.parquet --strategy halving
    """
    from workflows.lambda_search import MergeTuner

    plan = search.search()
    sets = model_sets.model_sets(models or [])
    if epsilon is not None and len(sets) > 1:
        raise UsageError(_PRIVATE, hint="name one pair")
    _check_into(sets, into)
    tuner = MergeTuner(
        source.open(plan.seed, report),
        plan,
        options.settings(),
        live.model_settings(),
        live.answers,
        report,
        tuple(retention.measures(source.lm_eval_tasks, source.lm_eval_items)),
    )
    if epsilon is None:
        choice = _search(tuner, sets, files, report)
    else:
        choice = tuner.choose_privately(sets[0], epsilon)
        report.json(choice.record)
    if into is not None:
        tuner.publish(choice, into)


def _search(
    tuner: "MergeTuner",
    model_sets: "list[ModelSet]",
    files: TuningFileOptions,
    report: ReportOptions,
) -> "MergeChoice":
    """Search, and write the report before the ablation, which takes as long again."""
    _ = report.format_name  # a wrong name is an error before models run
    files.check(tuner.search, model_sets)
    tuning = tuner.tune(model_sets)
    report.write(tuning.render)
    if files.curve is not None:
        tuning.write_curve(files.curve)
    tuning.plot(files.plot or ())
    tuning.plot_power(files.power or ())
    tuning.plot_pareto(files.pareto or ())
    if files.ablation:
        tuner.ablate(tuning, files.without_math or ()).write(files.ablation)
    return tuning.choice


def _check_into(model_sets: "list[ModelSet]", into: Path | None) -> None:
    """Raise an error for a folder that cannot be written to before anything costly begins."""
    from merger.outputs.destination import check_destination

    if into is None:
        return
    if len(model_sets) != 1:
        raise UsageError("--into writes the merge of one pair", hint="name one pair")
    check_destination(into)
