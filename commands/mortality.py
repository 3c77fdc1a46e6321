"""`evaluate-mortality`: how well language models tell from a record who dies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from patientdx.errors import UsageError

from . import asking, options
from .mortality_work import open_work

TASKS = ("mortality", "mortality-hard")

CohortFile = Annotated[Path, typer.Argument(help="A cohort file, made by `patientdx cohort`.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="NAME=MODEL or MODEL, a file, folder or known name; may be repeated: the others are "
        "compared with the first.",
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option("--group", help="NAME=GROUP of the main table, where the name does not tell."),
]
Weight = Annotated[list[str] | None, typer.Option("--lambda", help="NAME=λ of a merged model.")]
Sections = Annotated[
    list[str] | None,
    typer.Option(
        "--sections",
        help="mortality, mortality-hard, or section names between commas; may be repeated.",
    ),
]
Sample = Annotated[
    int | None, typer.Option("--sample", min=1, help="So many stays, drawn by --seed.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of draws: sample, folds, bootstrap.")]
Resamples = Annotated[int, typer.Option("--resamples", min=1, help="Of the bootstrap by patient.")]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Logistic regression and boosting.")
]
TemplatesFile = Annotated[Path | None, typer.Option("--templates", help="Words of the records.")]
Batch = Annotated[int, typer.Option("--batch", min=0, help="Records at once, at most; 0: auto.")]
Context = Annotated[int, typer.Option("--context", min=0, help="Tokens; 0: the model's own.")]
AnswersFile = Annotated[
    Path | None, typer.Option("--answers", help="Keeps answers here (default: in the cache).")
]
PredictionsFolder = Annotated[
    Path | None, typer.Option("--predictions", help="Write predictions for meds-evaluation here.")
]
Plots = Annotated[
    list[Path] | None,
    typer.Option("--plot", help="Draw curves: a .png or .svg file; a task is added to its name."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the report to this file.")]
Form = Annotated[str, typer.Option("--format", help="text, markdown, latex or json.")]


def evaluate_mortality(
    cohort: CohortFile,
    model: Models = None,
    group: Group = None,
    weight: Weight = None,
    sections: Sections = None,
    sample: Sample = None,
    seed: Seed = 0,
    resamples: Resamples = 2000,
    baselines: Baselines = True,
    templates: TemplatesFile = None,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    batch: Batch = 0,
    context: Context = 0,
    answers: AnswersFile = None,
    predictions: PredictionsFolder = None,
    plot: Plots = None,
    out: Out = None,
    form: Form = "text",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask language models whether the patient of each stay dies, and report how well they tell.

    Answers are kept as each batch completes: a command that was killed goes on where it stopped.

    Example:
        patientdx evaluate-mortality cohort.parquet --model math-model --sample 1000
    """
    from patientdx.models import ModelSettings

    form = _format(form, as_json=as_json)
    names = _named(model or [], "--model", alone=True)
    if not names and not baselines:
        raise UsageError("nothing to evaluate", hint="give --model MODEL")
    told = _named(group or [], "--group"), _named(weight or [], "--lambda")
    settings = ModelSettings(
        backend=backend,
        quantize=quantize,
        dtype=dtype,
        prompt_format=prompt_format,
        batch=batch,
        context=context,
        threads=options.settings().threads,
        cache=options.settings().cache,
    )
    work = open_work(cohort, sections or TASKS, templates, sample, seed, quiet=quiet)
    for name, spec in names.items():
        work.ask(name, spec, settings, answers or options.settings().cache / "answers.sqlite3")
    if baselines:
        work.add_baselines()
    work.report(*told, resamples, form, predictions, plot or [], out)


def _format(form: str, *, as_json: bool) -> str:
    from evaluator import FORMATS

    if form not in FORMATS:
        hint = f"formats are {', '.join(FORMATS)}"
        raise UsageError(f"`{form}` is not a format of reports", hint=hint)
    return "json" if as_json else form


def _named(given: Sequence[str], option: str, *, alone: bool = False) -> dict[str, str]:
    """NAME=VALUE options; a value `alone` is named by its last part."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals and alone:
            name, value = Path(one.rstrip("/")).name or one, one
        if not name or not value or name in found:
            raise UsageError(f"{option}: names are different, as in NAME=VALUE")
        found[name] = value
    return found
