"""Options of `tune-merge`, by what they are about."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import UsageError

from . import options
from .model_options import Batch, ContextSize, Precision, PromptFormat
from .query_options import Depth, DevJudgementOptions

if TYPE_CHECKING:
    from patientdx.models import ModelSettings
    from workflows.lambda_search import (
        InstanceSource,
        LambdaSearch,
        ModelSet,
        QuerySource,
        RetentionMeasure,
    )
    from workflows.monitor import Monitor


LM_EVAL = "lm-eval:"
"""What a metric of lm-evaluation-harness begins with."""


@dataclass(frozen=True)
class ModelSetOptions:
    """Which models are merged, beside the first ones, and how."""

    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", help="NAME=FIRST,SECOND: further models; may be repeated."),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Method of merging: slerp, linear, and multislerp for more than two models "
            "(default: slerp, or linear for more than two); a list has optuna choose. With --base "
            "it is task_arithmetic. A recipe has its own.",
            show_default=False,
        ),
    ] = ""
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="The model that the others were trained from: λ weighs their differences from it. "
            "Grid and halving search one λ for all models, optuna one for each.",
        ),
    ] = None

    def model_sets(self, models: list[str]) -> "list[ModelSet]":
        """All models that are merged, the first ones first. Raises UsageError for none."""
        from workflows.lambda_search import ModelSet

        methods = tuple(name.strip() for name in self.method.split(",")) if self.method else ()
        sets = []
        if self.base is not None:
            sets.append(ModelSet.from_models(models, methods, base=self.base))
        elif len(models) == 1:
            sets.append(ModelSet.from_recipe(Path(models[0])))
        elif models:
            sets.append(ModelSet.from_models(models, methods))
        for pair in self.pair or ():
            name, equals, names = pair.partition("=")
            members = names.split(",")
            if not equals or not name or len(members) < 2 or not all(members):
                raise UsageError(f"--pair is NAME=FIRST,SECOND, not `{pair}`")
            sets.append(ModelSet.from_models(members, methods, name))
        if not sets or len({models.name for models in sets}) < len(sets):
            raise UsageError("no pair named, or two by the same name", hint="tune-merge A B")
        return sets


@dataclass(frozen=True)
class SourceOptions(DevJudgementOptions):
    """What merges are judged by: stays, judged queries or texts."""

    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Choose by judged queries: a BEIR or ReCDS folder; with --index."
        ),
    ] = None
    index: options.IndexFolder = None
    system: Annotated[
        str,
        typer.Option(
            "--system", help="System in which the merge expands queries, see evaluate-ir."
        ),
    ] = "rrf(bm25,keywords)"
    depth: Depth = 1000
    cohort: Annotated[
        Path | None,
        typer.Option("--cohort", help="Choose by the stays of a file of `patientdx cohort`."),
    ] = None
    sections: Annotated[
        str,
        typer.Option(
            "--sections", help="Sections of the records: mortality, mortality-hard, or names."
        ),
    ] = "mortality"
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help="Number of stays, drawn by --seed with the cohort's share of deaths.",
        ),
    ] = None
    text: Annotated[
        Path | None,
        typer.Option(
            "--text", help="Choose by the perplexity of the paragraphs (or lines) of this file."
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="Metric that decides: auroc, auroc-hard or auprc of stays, nDCG@10, RR, R@1000 … "
            "of queries, perplexity of texts (default: the first), or lm-eval:TASK[:METRIC].",
        ),
    ] = None
    lm_eval_tasks: Annotated[
        Path | None,
        typer.Option("--lm-eval-tasks", help="Folder of YAML tasks of lm-evaluation-harness."),
    ] = None
    lm_eval_items: Annotated[
        int | None,
        typer.Option("--lm-eval-items", min=1, help="Use the first items of each task only."),
    ] = None

    @property
    def decides_by_task(self) -> bool:
        """Whether a task of lm-evaluation-harness decides."""
        return (self.metric or "").startswith(LM_EVAL)

    def open(self, seed: int, monitor: "Monitor") -> "InstanceSource":
        """The one source that is named. Raises UsageError for none and for two."""
        from workflows.lambda_search import LmEvalSource, StaySource, TextSource

        judged = self.data or self.queries or self.qrels
        task = (self.metric or "").removeprefix(LM_EVAL) if self.decides_by_task else None
        if sum(map(bool, (self.cohort, judged, self.text, task))) != 1:
            raise UsageError(
                "λ is chosen by one of --cohort, --data (or --queries and --qrels), --text and "
                "--metric lm-eval:TASK",
                hint="--cohort cohort.parquet",
            )
        if task is not None:
            return LmEvalSource.read(task, folder=self.lm_eval_tasks, items=self.lm_eval_items)
        if self.cohort is not None:
            return StaySource.read(
                self.cohort,
                metric=self.metric,
                sections=self.sections,
                sample=self.sample,
                seed=seed,
            )
        if self.text is not None:
            return TextSource.read(self.text, self.metric)
        return self._judged_queries(monitor)

    def _judged_queries(self, monitor: "Monitor") -> "QuerySource":
        from workflows.lambda_search import QuerySource

        judged = self.judged_queries()
        QuerySource.check(self.system, self.metric, self.depth)
        return QuerySource.read(
            judged,
            options.open_index(self.index),
            system=self.system,
            depth=self.depth,
            metric=self.metric,
            own_notes=self.own_notes,
            monitor=monitor,
        )


@dataclass(frozen=True)
class RetentionOptions:
    """What else is measured of every λ, beside the metric that decides."""

    retention_text: Annotated[
        list[Path] | None,
        typer.Option(
            "--retention-text",
            help="Also measure the perplexity of this file at every λ; may be repeated.",
        ),
    ] = None

    lm_eval: Annotated[
        list[str] | None,
        typer.Option(
            "--lm-eval",
            help="Also measure a task of lm-evaluation-harness at every λ: TASK, TASK:METRIC or "
            "TASK:METRIC,FILTER; may be repeated.",
        ),
    ] = None

    def measures(self, folder: Path | None, items: int | None) -> "list[RetentionMeasure]":
        """The measures that are named; `folder` and `items` are of tasks."""
        from workflows.lambda_search import RetentionMeasure

        texts = [RetentionMeasure.from_texts(path) for path in self.retention_text or ()]
        tasks = [
            RetentionMeasure.from_lm_eval(name, folder=folder, items=items)
            for name in self.lm_eval or ()
        ]
        return [*texts, *tasks]


@dataclass(frozen=True)
class SearchOptions:
    """How λ is searched for, and how the choice is judged."""

    strategy: Annotated[
        str, typer.Option("--strategy", help="Strategy of the search: grid, halving or optuna.")
    ] = "grid"
    step: Annotated[float, typer.Option("--step", help="Grid spacing of λ (grid and halving).")] = (
        0.1
    )
    max_lambda: Annotated[
        float,
        typer.Option(
            "--max-lambda",
            min=1,
            help="Highest λ that is tried, with --base: beyond 1 more than the whole differences "
            "are added.",
        ),
    ] = 1.0
    share: Annotated[
        float, typer.Option("--share", help="Share of the grid's scores that halving spends.")
    ] = 0.3
    trials: Annotated[int, typer.Option("--trials", min=2, help="Number of Optuna trials.")] = 25
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            help="With optuna, a λ for each group of tensors by part of their names, and for the "
            "rest: self_attn,mlp.",
        ),
    ] = None
    folds: Annotated[
        int,
        typer.Option("--folds", help="Number of folds by patient or query that judge the choice."),
    ] = 2
    seed: options.Seed = 0
    resamples: options.Resamples = 2000

    def search(self) -> "LambdaSearch":
        """The search. Raises UsageError for an empty group."""
        from workflows.lambda_search import LambdaSearch

        groups = tuple(part.strip() for part in self.groups.split(",")) if self.groups else ()
        if not all(groups):
            raise UsageError("--groups is a list of parts of names", hint="--groups self_attn,mlp")
        return LambdaSearch(
            self.strategy,
            self.step,
            self.share,
            self.trials,
            groups,
            self.folds,
            self.resamples,
            self.seed,
            self.max_lambda,
        )


@dataclass(frozen=True)
class LiveModelOptions:
    """How live merges are run: by transformers, whose weights can be swapped."""

    dtype: Precision = "auto"
    prompt_format: PromptFormat = "auto"
    batch: Batch = 0
    context_size: ContextSize = 0
    answers: options.AnswersFile = None

    def model_settings(self) -> "ModelSettings":
        """The settings of the models."""
        from patientdx.models import ModelSettings

        return ModelSettings(
            dtype=self.dtype,
            prompt_format=self.prompt_format,
            batch=self.batch,
            context=self.context_size,
        )


@dataclass(frozen=True)
class TuningFileOptions:
    """Files to write beside the report."""

    curve: Annotated[
        Path | None, typer.Option("--curve", help="Write every point as CSV to this file.")
    ] = None
    plot: Annotated[
        list[Path] | None, typer.Option("--plot", help="Draw the metrics along λ: .png or .svg.")
    ] = None
    power: Annotated[
        list[Path] | None,
        typer.Option(
            "--power",
            help="Draw how many patients would distinguish the choice from λ = ½: .png or .svg.",
        ),
    ] = None
    pareto: Annotated[
        list[Path] | None,
        typer.Option(
            "--pareto",
            help="Draw the metric against retention, with the Pareto front: .png or .svg.",
        ),
    ] = None
    without_math: Annotated[
        list[str] | None,
        typer.Option(
            "--without-math",
            help="A model that stands in for the first one of each pair, in their order: makes the "
            "ablation table (with --ablation).",
        ),
    ] = None
    ablation: Annotated[
        list[Path] | None,
        typer.Option(
            "--ablation",
            help="Write the ablation table: .txt, .md, .tex, .json or .csv; .png or .svg draws it; "
            "may be repeated.",
        ),
    ] = None

    def check(self, search: "LambdaSearch", model_sets: "list[ModelSet]") -> None:
        """Raise UsageError for files that cannot be written of these models."""
        from evaluator.reporting.figures import plot_format
        from evaluator.selection import ablation_suffix
        from workflows.lambda_search.results import check_single_lambda

        if self.plot or self.curve or self.ablation:
            check_single_lambda(search, model_sets)
        if self.ablation and any(models.has_base for models in model_sets):
            raise UsageError("the ablation table is of pairs merged by slerp and linear")
        if self.ablation and len(self.without_math or ()) != len(model_sets):
            raise UsageError("--ablation FILE goes with one --without-math MODEL for each pair")
        for path in (*(self.plot or ()), *(self.power or ()), *(self.pareto or ())):
            plot_format(path)
        for path in self.ablation or ():
            ablation_suffix(path)
