"""`tune-merge`: the λ of a merge, chosen on patients without training on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import UsageError

from . import asking, judged, model_options, options
from .merge_inputs import Places
from .tune_merge_live import METHODS, Asked, Family, Plan
from .tune_merge_sources import Source, cohort_source, judged_source, text_source
from .tune_merge_work import Files, check_into, publish, run

if TYPE_CHECKING:
    from patientdx.models import ModelSettings

Given = Annotated[
    list[str] | None,
    typer.Argument(
        help="A recipe (MergeKit YAML), or two models, Math first; with optuna also more models.",
        show_default=False,
    ),
]
CohortFile = Annotated[
    Path | None,
    typer.Option("--cohort", help="Choose by the stays of a file of `patientdx cohort`."),
]
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--text", help="Choose by the perplexity of the paragraphs (or lines) of this file."
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Choose by judged queries: a BEIR or ReCDS folder; with --index."),
]
System_ = Annotated[
    str, typer.Option("--system", help="How the merge expands queries: as in evaluate-ir.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--pair", help="NAME=FIRST,SECOND: further models; may be repeated."),
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
    str | None,
    typer.Option(
        "--metric",
        help="What decides: auroc, auroc-hard or auprc of stays, nDCG@10, RR, R@1000 … of queries, "
        "perplexity of texts (default: the first).",
    ),
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
FoldNumber = Annotated[
    int, typer.Option("--folds", help="By patient or query; the choice is judged on.")
]
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
    str,
    typer.Option(
        "--method",
        help="slerp, linear, and multislerp for more than two models (default: slerp, or linear "
        "for more than two); a list has optuna choose. A recipe has its own.",
        show_default=False,
    ),
]
Drawn = Annotated[
    int | None,
    typer.Option(
        "--sample", min=1, help="So many stays, drawn by --seed with the cohort's share of deaths."
    ),
]
Into = Annotated[Path | None, typer.Option("--into", help="Write the chosen merge to this folder.")]
CurveFile = Annotated[Path | None, typer.Option("--curve", help="Write every point as CSV.")]
Plots = Annotated[
    list[Path] | None, typer.Option("--plot", help="Draw the metrics along λ: .png or .svg.")
]
AblationFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--ablation",
        help="Write the ablation table: .txt, .md, .tex, .json or .csv; .png or .svg draws it; may "
        "be repeated.",
    ),
]

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the report to this file.")]
Form = Annotated[str, typer.Option("--format", help="text, markdown, latex or json.")]


def tune_merge(
    given: Given = None,
    cohort: CohortFile = None,
    data: DataFolder = None,
    split: judged.Split = "dev",
    queries: judged.QueriesFile = None,
    qrels: judged.QrelsFile = None,
    index: options.IndexFolder = None,
    system: System_ = "rrf(bm25,keywords)",
    depth: judged.Depth = 1000,
    text: TextFile = None,
    pair: Pairs = None,
    without_math: Replaced = None,
    method: Method = "",
    metric: MetricName = None,
    strategy: StrategyName = "grid",
    step: Step = 0.1,
    share: Share = 0.3,
    trials: Trials = 25,
    groups: Groups = None,
    folds: FoldNumber = 2,
    epsilon: Epsilon = None,
    sections: Task = "mortality",
    sample: Drawn = None,
    seed: options.Seed = 0,
    resamples: options.Resamples = 2000,
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    batch: model_options.Batch = 0,
    context: model_options.ContextSize = 0,
    answers: options.AnswersFile = None,
    into: Into = None,
    curve: CurveFile = None,
    plot: Plots = None,
    ablation: AblationFiles = None,
    out: Out = None,
    form: Form = "text",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose λ on one part of the patients, judge it on the other; nothing is trained.

    λ is MergeKit's t: 0 is the first model, 1 the second. Answers are kept as they come, so that
    a command that was killed goes on where it stopped.

    Example:
        patientdx tune-merge math-model medical-model --cohort cohort.parquet --strategy halving
    """
    plan = Plan(strategy, step, share, trials, _groups(groups, strategy), seed)
    settings = _settings(dtype, prompt_format, batch, context)
    places = Places(allow_fetch=False, hub=None, quiet=quiet)
    asked = Asked(plan, folds, resamples, settings, answers, places, quiet)
    families = _families(given or [], pair or [], method)
    check_into(families, into)
    files = Files(curve, tuple(plot or ()), tuple(ablation or ()), out, "json" if as_json else form)
    wanted = _Wanted(data, split, queries, qrels, index, system, depth, metric)
    source = _source(cohort, (sections, sample, seed), wanted, text, quiet=quiet)
    chosen, record = run(families, without_math or [], source, asked, files, epsilon)
    if into is not None:
        publish(families[0], chosen, record, into, asked)


@dataclass(frozen=True)
class _Wanted:
    """Which judged queries are wanted, and the metric of any source."""

    data: Path | None
    split: str
    queries: str | None
    qrels: str | None
    index: Path | None
    system: str
    depth: int
    metric: str | None

    @property
    def any(self) -> bool:
        """Whether queries are."""
        return bool(self.data or self.queries or self.qrels)


def _source(
    cohort: Path | None,
    drawn: tuple[str, int | None, int],
    wanted: _Wanted,
    text: Path | None,
    *,
    quiet: bool,
) -> Source:
    """The one source of instances that is named. Raises UsageError for none and for two."""
    if sum(map(bool, (cohort, wanted.any, text))) != 1:
        raise UsageError(
            "λ is chosen by one of --cohort, --data (or --queries and --qrels) and --text",
            hint="--cohort cohort.parquet",
        )
    if cohort is not None:
        return cohort_source(cohort, wanted.metric, *drawn, quiet=quiet)
    if text is not None:
        return text_source(text, wanted.metric)
    if wanted.data is not None and wanted.split == "test":
        raise UsageError("tuning does not look at the test split", hint="--split dev")
    files = judged.sources(wanted.data, wanted.split, wanted.queries, wanted.qrels)
    return judged_source(files, wanted.index, wanted.system, wanted.depth, wanted.metric)


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


def _families(given: list[str], named: list[str], method: str) -> list[Family]:
    """All models that are to be merged, by name."""
    found = []
    if len(given) == 1:
        found.append(Family.recipe(given[0]))
    elif given:
        found.append(Family.of(None, given, _methods(method, len(given))))
    for one in named:
        name, equals, models = one.partition("=")
        parts = models.split(",")
        if not equals or not name or len(parts) < 2 or not all(parts):
            raise UsageError(f"--pair is NAME=FIRST,SECOND, not `{one}`")
        found.append(Family.of(name, parts, _methods(method, len(parts))))
    if not found or len({one.name for one in found}) < len(found):
        raise UsageError("no pair named, or two by the same name", hint="tune-merge A B")
    return found


def _methods(text: str, inputs: int) -> list[str]:
    """The methods that --method lists."""
    found = [one.strip() for one in text.split(",")] if text else []
    if not set(found) <= {*METHODS} or len(set(found)) < len(found):
        raise UsageError(f"--method is of {', '.join(METHODS)}, not `{text}`")
    return found or (["slerp"] if inputs == 2 else ["linear"])
