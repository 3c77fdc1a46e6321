"""Mortality prediction: language models and baselines on the stays of a cohort, with a report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts.cohort import Cohort
from evaluator.cohorts.sections import read_templates
from evaluator.mortality.answer_store import AnswerStore
from evaluator.mortality.answering import AnswerProgress, answer_questions
from evaluator.mortality.baselines import BASELINES, predict_out_of_fold
from evaluator.mortality.evaluation import (
    MortalityResults,
    ReportedModel,
    Tasks,
    evaluate_predictions,
)
from evaluator.mortality.features import extract_features
from evaluator.mortality.metrics import ModelMetrics
from evaluator.mortality.predictions import (
    Prediction,
    prediction_from_answers,
    prediction_from_probabilities,
)
from evaluator.mortality.published import BASELINE, GROUPS, OTHER, model_group
from evaluator.mortality.question import PAPER_QUESTION
from evaluator.mortality.report import build_report
from evaluator.reporting.documents import Document
from evaluator.reporting.rendering import render_document
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.discrimination import Floats
from patientdx.errors import UsageError
from patientdx.models import ModelSettings, open_model
from patientdx.protocols import Chooser
from patientdx.settings import Settings, default_settings

from .model_notes import describe_model
from .monitor import LOG, Monitor, Progress
from .stays import PAPER_TASKS, StayRecords, StaySample, parse_tasks, sample_notes, sample_stays

ANSWERS = "answers.sqlite3"
"""The file of answers in the cache folder."""

ModelSource = Chooser | Path | str
"""An open model, or what `open_model` opens: a file, a folder or a known name."""


@dataclass(frozen=True)
class ModelTraits:
    """What the main table shows of a model beside its figures.

    `group` is that of the paper's main table (by default the one that the model's name suggests),
    `merge_weight` the λ of a merged model.
    """

    group: str | None = None
    merge_weight: float | None = None


@dataclass(frozen=True)
class MortalityEvaluation:
    """Predictions of all models, their figures with intervals, and the report of both."""

    sample: StaySample
    results: MortalityResults
    document: Document

    @property
    def predictions(self) -> Tasks:
        """Predictions by task and model."""
        return self.results.tasks

    @property
    def metrics(self) -> Mapping[str, Mapping[str, ModelMetrics]]:
        """Metrics with intervals by task and model."""
        return self.results.metrics

    def render(self, format_name: str = "text") -> str:
        """The report as text, markdown, latex or json. Raises EvaluationError for another name."""
        return render_document(self.document, format_name)


def evaluate_mortality(
    cohort: Cohort | Path | str,
    models: Mapping[str, ModelSource] | None = None,
    *,
    traits: Mapping[str, ModelTraits] | None = None,
    sections: Sequence[str] = PAPER_TASKS,
    templates: Path | None = None,
    sample: int | None = None,
    seed: int = 0,
    resamples: int = 2000,
    baselines: bool = True,
    model_settings: ModelSettings | None = None,
    answers: Path | None = None,
    settings: Settings | None = None,
    monitor: Monitor = LOG,
) -> MortalityEvaluation:
    """Evaluate language models, by name, and baselines on the stays of a cohort.

    Each entry of `sections` is a task: mortality, mortality-hard, or section names between commas.
    All models are compared with the first. `sample` stays are drawn by `seed`, which also seeds
    folds and bootstrap. Answers are stored as each batch completes, in the file `answers` (default:
    in the cache folder of `settings`), so that an interrupted evaluation goes on where it stopped.
    Raises UsageError for unknown sections, and for groups or models of `traits` that do not exist,
    and ModelError for a model that cannot be run.
    """
    models, traits = models or {}, traits or {}
    _check_traits(traits, list(models))
    settings = settings or default_settings()
    model_settings = model_settings or ModelSettings(
        threads=settings.threads, cache=settings.cache, hub_cache=settings.hub_cache
    )
    tasks, wording = parse_tasks(sections), read_templates(templates)
    stays = sample_stays(cohort, sample, seed=seed)
    records = {task: StayRecords(stays, names, wording) for task, names in tasks.items()}
    store = answers_path(answers, settings)
    runs = {
        name: _run_model(name, source, model_settings, records, store, monitor)
        for name, source in models.items()
    }
    predictions = {
        task: {name: run.predictions[task] for name, run in runs.items()} for task in tasks
    }
    known = {
        name: _report_model(name, run, traits.get(name, ModelTraits()))
        for name, run in runs.items()
    }
    for name, probabilities in (_fit_baselines(stays, monitor) if baselines else {}).items():
        known[name] = ReportedModel(BASELINE)
        for by_model in predictions.values():
            by_model[name] = prediction_from_probabilities(probabilities)
    resampling = Resampling(resamples=resamples, seed=seed)
    results = evaluate_predictions(predictions, stays.outcomes, known, resampling)
    notes = sample_notes(
        stays,
        tasks,
        empty={task: task_records.empty for task, task_records in records.items()},
        models={name: run.description for name, run in runs.items()},
    )
    document = build_report(results, PAPER_QUESTION, stays.cohort.meta, notes)
    return MortalityEvaluation(stays, results, document)


def answers_path(answers: Path | None, settings: Settings | None) -> Path:
    """The file that stores answers of models: the one named, else that in the cache folder."""
    return answers or (settings or default_settings()).cache / ANSWERS


@dataclass(frozen=True)
class _ModelRun:
    """Predictions of one model by task, and how it was run."""

    predictions: Mapping[str, Prediction]
    digest: str
    description: str


def _run_model(
    name: str,
    source: ModelSource,
    settings: ModelSettings,
    records: Mapping[str, StayRecords],
    answers: Path,
    monitor: Monitor,
) -> _ModelRun:
    """Ask one model about the records of all tasks."""
    with _open_chooser(source, settings, monitor) as model, AnswerStore(answers) as store:
        predictions = {
            task: _predict(f"{name}: {task}", model, task_records, store, monitor)
            for task, task_records in records.items()
        }
        return _ModelRun(predictions, model.digest, describe_model(model.description))


@contextmanager
def _open_chooser(
    source: ModelSource, settings: ModelSettings, monitor: Monitor
) -> Iterator[Chooser]:
    """The model, closed afterwards unless the caller opened it."""
    if not isinstance(source, Path | str):
        yield source
        return
    with closing(open_model(str(source), settings, warn=monitor.warning)) as model:
        yield model


def _predict(
    label: str, model: Chooser, records: StayRecords, store: AnswerStore, monitor: Monitor
) -> Prediction:
    with monitor.progress(label, len(records)) as progress:
        pace = _Pace(progress)
        answers = answer_questions(model, records, PAPER_QUESTION, store, on_progress=pace)
    monitor.notice(f"{label}: {pace.summary()}")
    return prediction_from_answers(answers, PAPER_QUESTION)


class _Pace:
    """Reports progress, and how many stays per second are answered that were not stored before."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._start = time.perf_counter()
        self._answered = self._stored = 0

    def __call__(self, step: AnswerProgress) -> None:
        """Add the stays of a step."""
        if step.from_store:
            self._stored += step.stays
        else:
            self._answered += step.stays
        self._progress(self._answered + self._stored)

    def summary(self) -> str:
        """Number of new answers, their pace, and number of stored ones."""
        seconds = time.perf_counter() - self._start
        pace = f"{self._answered / seconds:.2f} a second"
        return (
            f"{self._answered:,} stays in {seconds:.0f} s ({pace}), "
            f"{self._stored:,} answered before"
        )


def _fit_baselines(stays: StaySample, monitor: Monitor) -> dict[str, Floats]:
    """Out-of-fold probabilities of death by baseline; no diagnosis is among their features."""
    if stays.outcomes.one_class:
        monitor.warning("no baselines: a cohort with one class only teaches nothing")
        return {}
    matrix = extract_features(stays.cohort).values[list(stays.positions)]
    probabilities = {}
    for kind in BASELINES:
        monitor.notice(f"fitting {kind}")
        probabilities[kind] = predict_out_of_fold(
            kind, matrix, stays.outcomes.died, stays.outcomes.patients, seed=stays.seed
        )
    return probabilities


def _check_traits(traits: Mapping[str, ModelTraits], models: Sequence[str]) -> None:
    """Raise UsageError for a model that is not evaluated, and for an unknown group."""
    unknown = sorted(traits.keys() - set(models))
    if unknown:
        raise UsageError(
            f"no model is named `{unknown[0]}`", hint=f"models are {', '.join(models) or 'none'}"
        )
    groups = (*GROUPS, OTHER)
    for group in {trait.group for trait in traits.values()} - {None, *groups}:
        raise UsageError(
            f"`{group}` is no group of the main table", hint=f"groups are {', '.join(groups)}"
        )


def _report_model(name: str, run: _ModelRun, traits: ModelTraits) -> ReportedModel:
    return ReportedModel(traits.group or model_group(name), traits.merge_weight, run.digest)
