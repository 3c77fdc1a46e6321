"""`tune-merge`: the λ of a merge, chosen on patients without training on them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import UsageError

from . import asking, mortality, options
from .merge_inputs import Places
from .mortality_work import open_work
from .tune_merge_live import Asked, Pair
from .tune_merge_work import Files, check_into, publish, run_private, run_search

if TYPE_CHECKING:
    from patientdx.models import ModelSettings

Given = Annotated[
    list[str] | None,
    typer.Argument(
        help="A recipe of two models (MergeKit YAML), or two models; Math first.",
        show_default=False,
    ),
]
CohortFile = Annotated[Path, typer.Option("--cohort", help="A file of `patientdx cohort`.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--pair", help="NAME=FIRST,SECOND: a further pair of models; may be repeated."),
]
Replaced = Annotated[
    list[str] | None,
    typer.Option(
        "--without-math",
        help="A model that stands in for the first one of each pair, in their order: makes the "
        "ablation table (with --ablation).",
    ),
]
MetricName = Annotated[
    Literal["auroc", "auroc-hard", "auprc"], typer.Option("--metric", help="What decides.")
]
StrategyName = Annotated[
    Literal["grid", "halving", "optuna"], typer.Option("--strategy", help="How to search.")
]
Step = Annotated[float, typer.Option("--step", help="Of λ, for grid and halving.")]
Share = Annotated[float, typer.Option("--share", help="Of the grid's scores that halving spends.")]
Trials = Annotated[int, typer.Option("--trials", min=2, help="Of optuna.")]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups",
        help="With optuna, a λ for each group of tensors by part of their names, and for the "
        "rest: self_attn,mlp.",
    ),
]
FoldNumber = Annotated[int, typer.Option("--folds", help="By patient; the choice is judged on.")]
Epsilon = Annotated[
    str | None,
    typer.Option(
        "--epsilon",
        help="Choose by the exponential mechanism: with grid and auroc or auroc-hard, one stay a "
        "patient. Nothing but the choice is shown.",
    ),
]
Task = Annotated[
    str, typer.Option("--sections", help="mortality, mortality-hard, or section names.")
]
Method = Annotated[
    Literal["slerp", "linear"], typer.Option("--method", help="Of pairs; a recipe has its own.")
]
Into = Annotated[Path | None, typer.Option("--into", help="Write the chosen merge to this folder.")]
CurveFile = Annotated[Path | None, typer.Option("--curve", help="Write every point as CSV.")]
Plots = Annotated[
    list[Path] | None, typer.Option("--plot", help="Draw the metrics along λ: .png or .svg.")
]
AblationFile = Annotated[
    Path | None, typer.Option("--ablation", help="Write the ablation table to this file.")
]


def tune_merge(
    cohort: CohortFile,
    given: Given = None,
    pair: Pairs = None,
    without_math: Replaced = None,
    method: Method = "slerp",
    metric: MetricName = "auroc",
    strategy: StrategyName = "grid",
    step: Step = 0.1,
    share: Share = 0.3,
    trials: Trials = 25,
    groups: Groups = None,
    folds: FoldNumber = 2,
    epsilon: Epsilon = None,
    sections: Task = "mortality",
    sample: mortality.Sample = None,
    seed: mortality.Seed = 0,
    resamples: mortality.Resamples = 2000,
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    batch: mortality.Batch = 0,
    context: mortality.Context = 0,
    answers: mortality.AnswersFile = None,
    into: Into = None,
    curve: CurveFile = None,
    plot: Plots = None,
    ablation: AblationFile = None,
    out: mortality.Out = None,
    form: mortality.Form = "text",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose λ on one part of the patients, judge it on the other; nothing is trained.

    λ is MergeKit's t: 0 is the first model, 1 the second. Answers are kept as they come, so that
    a command that was killed goes on where it stopped.

    Example:
        patientdx tune-merge math-model medical-model --cohort cohort.parquet --strategy halving
    """
    settings = _settings(dtype, prompt_format, batch, context)
    parts = _groups(groups, strategy)
    asked = Asked(
        metric, strategy, step, share, trials, parts, folds, seed, resamples, settings,
        answers or options.settings().cache / "answers.sqlite3",
        Places(allow_fetch=False, hub=None, quiet=quiet), quiet,
    )  # fmt: skip
    pairs = _pairs(given or [], pair or [], method)
    check_into(pairs, into)
    work = open_work(cohort, [sections], None, sample, seed, quiet=quiet)
    files = Files(curve, tuple(plot or ()), ablation, out, "json" if as_json else form)
    if epsilon is None:
        chosen, record = run_search(pairs, without_math or [], work, asked, files)
    elif len(pairs) == 1 and not (curve or plot or ablation or without_math or out):
        chosen, record = run_private(pairs[0], work, asked, epsilon)
    else:
        raise UsageError("--epsilon shows the choice of one pair, and nothing else")
    if into is not None:
        publish(pairs[0], chosen, record, into, asked)


def _settings(
    dtype: asking.Dtype, prompt_format: asking.PromptFormat, batch: int, context: int
) -> "ModelSettings":
    """How live merges are run: by transformers, whose weights can be swapped."""
    from patientdx.models import ModelSettings

    known = options.settings()
    return ModelSettings(
        backend="hf",
        dtype=dtype,
        prompt_format=prompt_format,
        batch=batch,
        context=context,
        threads=known.threads,
        cache=known.cache,
    )


def _groups(text: str | None, strategy: str) -> tuple[str, ...]:
    """Parts of names that --groups lists."""
    parts = tuple(one.strip() for one in text.split(",")) if text else ()
    if parts and (strategy != "optuna" or not all(parts)):
        raise UsageError("--groups is a list of parts of names, and goes with --strategy optuna")
    return parts


def _pairs(given: list[str], named: list[str], method: str) -> list[Pair]:
    """Every pair that is asked for, by name."""
    found = []
    if len(given) == 1:
        found.append(Pair.recipe(given[0]))
    elif len(given) == 2:
        found.append(Pair.of(None, given[0], given[1], method))
    elif given:
        raise UsageError("name one recipe, or two models", hint="more pairs: --pair NAME=A,B")
    for one in named:
        name, equals, models = one.partition("=")
        parts = models.split(",")
        if not equals or not name or len(parts) != 2 or not all(parts):
            raise UsageError(f"--pair is NAME=FIRST,SECOND, not `{one}`")
        found.append(Pair.of(name, parts[0], parts[1], method))
    if not found or len({one.name for one in found}) < len(found):
        raise UsageError("no pair named, or two by the same name", hint="tune-merge A B")
    return found
