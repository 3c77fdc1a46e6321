"""The search for λ step by step: check, search, choose privately, ablate, publish."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from evaluator.selection import (
    ABLATION_ROWS,
    Candidate,
    CandidateEvaluator,
    PatientFolds,
    Selection,
    SelectionSettings,
    choose_privately,
    correlate_proxies,
    model_card_remarks,
    parse_epsilon,
    private_record,
    retention_candidates,
    select_candidate,
)
from evaluator.selection.privacy import private_candidates
from evaluator.statistics.bootstrap import Resampling
from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import run_merge
from merger.planning.job import prepare_merge
from merger.planning.recipe_resolver import torch_dtype_name
from patientdx.errors import UsageError
from patientdx.models import ModelSettings
from patientdx.settings import Settings, default_settings
from workflows.merges import locate_model, prepare_job, show_megabytes
from workflows.model_notes import describe_model
from workflows.monitor import LOG, Monitor

from .live_merges import LiveMerge, open_live_merge
from .model_sets import ModelSet
from .results import MergeAblation, MergeChoice, MergeTuning
from .retention import RetentionMeasure, require_distinct_names
from .search import LambdaSearch
from .sources import InstanceSource


def tune_merge(
    models: ModelSet | Sequence[ModelSet],
    source: InstanceSource,
    search: LambdaSearch | None = None,
    *,
    retention: Sequence[RetentionMeasure] = (),
    model_settings: ModelSettings | None = None,
    store: Path | None = None,
    settings: Settings | None = None,
    monitor: Monitor = LOG,
) -> MergeTuning:
    """Choose the weights of a merge on one part of the instances and judge them on the other.

    Nothing is trained: the models are merged in memory at each candidate and scored on the source.
    `retention` is measured of every candidate beside the metric of the source.

    Scores are kept in `store`, or in the cache folder, so that an interrupted search goes on
    where it stopped. Raises PatientDxError for what cannot be searched, before models are loaded.
    """
    tuner = MergeTuner(
        source,
        search or LambdaSearch(),
        settings=settings or default_settings(),
        model_settings=model_settings,
        store=store,
        monitor=monitor,
        retention=tuple(retention),
    )
    return tuner.tune([models] if isinstance(models, ModelSet) else models)


@dataclass(frozen=True)
class MergeTuner:
    """Searches weights of merges by one source of instances.

    `model_settings` say how merges are run, by transformers in any case. `store` is the file that
    keeps answers and scores; None puts it into the cache folder. `retention` is measured of every
    candidate beside the metric of the source.
    """

    source: InstanceSource
    search: LambdaSearch = field(default_factory=LambdaSearch)
    settings: Settings = field(default_factory=default_settings)
    model_settings: ModelSettings | None = None
    store: Path | None = None
    monitor: Monitor = LOG
    retention: tuple[RetentionMeasure, ...] = ()

    def check(self, model_sets: Sequence[ModelSet]) -> None:
        """Raise PatientDxError for what cannot be searched, before anything costly begins."""
        if not model_sets or len({models.name for models in model_sets}) < len(model_sets):
            raise UsageError("no pair named, or two by the same name", hint="tune-merge A B")
        require_distinct_names(self.retention)
        for models in model_sets:
            self.search.build_strategy(models)
        folds = self._selection_settings(model_sets[0]).folds
        folds.split(
            self.source.instances, require_both_outcomes=self.source.metric.needs_both_outcomes
        )

    def tune(self, model_sets: Sequence[ModelSet]) -> MergeTuning:
        """Search for the weights of each set of models."""
        self.check(model_sets)
        selections = {models.name: self.select(models) for models in model_sets}
        return MergeTuning(tuple(model_sets), selections, self._notes())

    def select(self, models: ModelSet, method: str | None = None) -> Selection:
        """Search for the weights of some models, by one method or by those of the set."""
        strategy, settings = self.search.build_strategy(models), self._selection_settings(models)
        # An ablation, which names the method, is about the metric alone.
        measures = self.retention if method is None else ()
        with self._open_live(models, method) as live:
            for measure in measures:
                measure.check(live)
            with self.source.open_evaluator(live) as evaluator:
                selection = select_candidate(strategy, evaluator, self.source.metric, settings)
            candidates = retention_candidates(selection)
            curves = [
                measure.measure(live, candidates, settings.resampling) for measure in measures
            ]
        proxies = correlate_proxies(
            evaluator,
            self.source.metric,
            selection.search,
            self.source.proxies,
            curves,
            settings.resampling,
        )
        selection = replace(selection, retention=tuple(curves), proxies=proxies)
        methods = method or ", ".join(models.methods)
        self.monitor.notice(
            f"{models.name} ({methods}): λ = {selection.chosen}, {self.source.metric.name} "
            f"held out {selection.held_out.value:.4f}"
        )
        return selection

    def choose_privately(self, models: ModelSet, epsilon: str | float | Fraction) -> MergeChoice:
        """Choose λ by the exponential mechanism; its record holds nothing but the choice.

        Raises EvaluationError where no bound is proven, before anything costly begins.
        """
        budget, strategy = parse_epsilon(epsilon), self.search.build_strategy(models)
        private_candidates(strategy, self._closed_evaluator(), self.source.metric)
        with (
            self._open_live(models, None) as live,
            self.source.open_evaluator(live) as evaluator,
        ):
            choice = choose_privately(strategy, evaluator, self.source.metric, budget)
        return MergeChoice(models, choice.chosen, private_record(choice))

    def ablate(self, tuning: MergeTuning, without_math: Sequence[str]) -> MergeAblation:
        """Search anew without Math, without SLERP, and without both.

        `without_math` names, for each set of models, the one that stands in for the first.
        """
        substitutes = [
            ModelSet.from_models([other, models.models[1]], ["slerp"], models.name)
            for models, other in zip(tuning.model_sets, without_math, strict=True)
        ]
        rows: dict[str, dict[str, Selection]] = {ABLATION_ROWS[0]: dict(tuning.selections)}
        for models, substitute in zip(tuning.model_sets, substitutes, strict=True):
            for row, searched, method in (
                (ABLATION_ROWS[1], substitute, models.methods[0]),
                (ABLATION_ROWS[2], models, "linear"),
                (ABLATION_ROWS[3], substitute, "linear"),
            ):
                rows.setdefault(row, {})[models.name] = self.select(searched, method)
        return MergeAblation(rows, self._notes())

    def publish(self, choice: MergeChoice, into: Path | str) -> None:
        """Write the chosen merge to a new folder; its model card records the choice.

        A choice that is no better than the best input beyond chance is written with a warning,
        which is also on the card.
        """
        into = Path(into)
        if choice.warning is not None:
            self.monitor.warning(choice.warning)
        merge = choice.models.resolve(choice.candidate, self._dtype(choice.models))
        job = prepare_job(merge, self.settings, self.monitor)
        job = replace(job, command=f"{merge.command} --into {shlex.quote(str(into))}")
        with (
            prepare_merge(job, into) as ready,
            show_megabytes(self.monitor, "merging (MB)") as on_progress,
        ):
            remarks = (*ready.remarks, *model_card_remarks(dict(choice.record)))
            run_merge(job, replace(ready, remarks=remarks), into, on_progress)
        self.monitor.notice(f"written to {into}")

    @contextmanager
    def _open_live(self, models: ModelSet, method: str | None) -> Iterator[LiveMerge]:
        """The live merge of some models."""
        settings = self._model_settings()
        with open_live_merge(models, settings, self.settings, self.monitor) as model:
            yield LiveMerge(
                model=model,
                models=models,
                method=method,
                # Before the first candidate, since the model's digest follows its weights.
                digest=repr((model.digest, method or models.methods[0])),
                store=self.store,
                cache=self.settings.cache,
                monitor=self.monitor,
            )

    def _closed_evaluator(self) -> CandidateEvaluator:
        """An evaluator that scores nothing, for checks before a model is loaded."""

        def refuse(candidate: Candidate) -> Any:
            raise UsageError(f"λ = {candidate} is not to be scored here")

        return CandidateEvaluator(refuse, self.source.instances)

    def _model_settings(self) -> ModelSettings:
        settings = self.model_settings or ModelSettings()
        return replace(
            settings,
            backend="hf",
            threads=self.settings.threads,
            cache=self.settings.cache,
            hub_cache=self.settings.hub_cache,
        )

    def _selection_settings(self, models: ModelSet) -> SelectionSettings:
        search = self.search
        return SelectionSettings(
            PatientFolds(search.folds, search.seed),
            Resampling(resamples=search.resamples, seed=search.seed),
            search.baselines(models),
            self.source.curves,
            search.inputs(models),
        )

    def _notes(self) -> Mapping[str, str]:
        model = describe_model(self._model_settings().describe())
        retention = "; ".join(measure.note for measure in self.retention)
        notes = {"retention": retention} if retention else {}
        return {**self.source.notes(), **notes, "models": model}

    def _dtype(self, models: ModelSet) -> str | None:
        """The number type of the base's weights, as torch calls it."""
        folder = locate_model(models.recipe.base.base, self.settings, self.monitor)
        tensors = Checkpoint.open(folder).tensors.values()
        return next((torch_dtype_name(tensor.dtype) for tensor in tensors), None)
