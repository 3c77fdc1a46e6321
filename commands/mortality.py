"""`evaluate-mortality`: how well language models predict death from records of stays."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.option_groups import Needs, Values, command, is_set
from console.output_files import NewFiles
from patientdx.errors import UsageError

from . import options
from .model_options import Batch, ContextSize, LocalModelOptions
from .report_options import ONE_FORMAT, ReportOptions

if TYPE_CHECKING:
    from workflows.mortality import ModelTraits

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Model to evaluate, a file, folder or known name, as MODEL or NAME=MODEL; may be "
        "repeated: the others are compared with the first.",
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        help="Group of a model in the main table, as NAME=GROUP (default: by the model's name).",
    ),
]
Weights = Annotated[
    list[str] | None, typer.Option("--lambda", help="Weight λ of a merged model, as NAME=λ.")
]
Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines", help="Also fit logistic regression and gradient boosting."
    ),
]
PredictionsFolder = Annotated[
    Path | None,
    typer.Option("--predictions", help="Folder to write predictions for meds-evaluation to."),
]
Plots = Annotated[
    list[Path] | None,
    typer.Option(
        "--plot", help="File to draw curves in, .png or .svg; the task is added to its name."
    ),
]


def _curve_files(values: Values) -> list[Path]:
    from workflows.mortality_files import curve_files

    return curve_files(values["plot"], _tasks(values))


def _prediction_files(values: Values) -> list[Path]:
    """All files that may be written to the folder of predictions."""
    from evaluator.mortality.baselines import BASELINES
    from workflows.mortality_files import prediction_file

    models = [
        *_named(values["model"], "--model", default_to_last_part=True),
        *(BASELINES if values["baselines"] else ()),
    ]
    folder = values["predictions"]
    return [prediction_file(folder, task, name) for task in _tasks(values) for name in models]


def _tasks(values: Values) -> list[str]:
    """The tasks, each by its name."""
    from workflows.stays import PAPER_TASKS

    return list(dict.fromkeys(values["sections"] or PAPER_TASKS))


@command(
    ONE_FORMAT,
    Needs(("group", "weight"), is_set("model"), "--group and --lambda describe models of --model"),
    Needs(
        (
            *("templates", "answers", "batch", "context_size"),
            *(field.name for field in fields(LocalModelOptions)),
        ),
        is_set("model"),
        "baselines do not read records: name a language model by --model MODEL",
    ),
    NewFiles("out", plot=_curve_files, predictions=_prediction_files),
)
def evaluate_mortality(
    cohort: Annotated[Path, typer.Argument(help="A cohort file, made by `patientdx cohort`.")],
    model: Models = None,
    group: Groups = None,
    weight: Weights = None,
    sections: options.Sections = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Number of stays to draw by --seed.")
    ] = None,
    seed: options.Seed = 0,
    resamples: options.Resamples = 2000,
    baselines: Baselines = True,
    templates: options.TemplatesFile = None,
    batch: Batch = 0,
    context_size: ContextSize = 0,
    answers: options.AnswersFile = None,
    predictions: PredictionsFolder = None,
    plot: Plots = None,
    *,
    engine: LocalModelOptions,
    report: ReportOptions,
) -> None:
    """Ask language models whether the patient of each stay dies, and evaluate their answers.

    Answers are stored as each batch completes: a command that was interrupted goes on where it
    stopped.

    Example:
        patientdx evaluate-mortality cohort.parquet --model math-model --sample 1000
    """
    from workflows import mortality, mortality_files
    from workflows.stays import PAPER_TASKS

    _ = report.format_name  # a wrong name is an error before models run
    models = _named(model, "--model", default_to_last_part=True)
    if not models and not baselines:
        raise UsageError("nothing to evaluate", hint="give --model MODEL")
    evaluation = mortality.evaluate_mortality(
        cohort,
        models,
        traits=_traits(_named(group, "--group"), _named(weight, "--lambda")),
        sections=sections or PAPER_TASKS,
        templates=templates,
        sample=sample,
        seed=seed,
        resamples=resamples,
        baselines=baselines,
        model_settings=engine.model_settings(batch=batch, context=context_size),
        answers=answers,
        settings=options.settings(),
        monitor=report,
    )
    if predictions is not None:
        mortality_files.write_prediction_files(evaluation, predictions)
    mortality_files.draw_curves(evaluation, plot or [])
    report.write(evaluation.render)


def _traits(groups: dict[str, str], weights: dict[str, str]) -> "dict[str, ModelTraits]":
    from workflows.mortality import ModelTraits

    return {
        name: ModelTraits(groups.get(name), _weight(weights.get(name))) for name in groups | weights
    }


def _weight(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"--lambda is NAME=NUMBER, not `{text}`") from None


def _named(
    values: Sequence[str] | None, option: str, *, default_to_last_part: bool = False
) -> dict[str, str]:
    """Values of an option of the form NAME=VALUE; the name may default to the path's last part."""
    named: dict[str, str] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        if not equals and default_to_last_part:
            name, value = Path(text.rstrip("/")).name or text, text
        if not name or not value or name in named:
            raise UsageError(f"{option}: names are different, as in NAME=VALUE")
        named[name] = value
    return named
