"""What `evaluate-mortality` does: asks, fits baselines, writes predictions and curves."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from patientdx.errors import UsageError

from . import output

if TYPE_CHECKING:
    from evaluator.cohorts import Cohort
    from evaluator.mortality.answering import AnswerProgress
    from evaluator.mortality.evaluation import MortalityResults, ReportedModel
    from evaluator.mortality.predictions import Outcomes, Prediction
    from patientdx.models import ModelSettings
    from patientdx.protocols import ModelDescription


@dataclass
class Work:
    """The stays, and what has been predicted of them so far."""

    cohort: "Cohort"
    outcomes: "Outcomes"
    places: list[int]
    tasks: dict[str, tuple[str, ...]]
    templates: Path | None
    seed: int
    quiet: bool
    stratified: bool = False
    predictions: "dict[str, dict[str, Prediction]]" = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)

    def ask(self, name: str, spec: str, settings: "ModelSettings", store: Path) -> None:
        """Asks one model about all stays in all tasks."""
        from evaluator.mortality.answer_store import AnswerStore
        from evaluator.mortality.answering import answer_questions
        from evaluator.mortality.predictions import prediction_from_answers
        from evaluator.mortality.question import PAPER_QUESTION
        from patientdx.models import open_model

        with (
            closing(open_model(spec, settings, warn=self._warn)) as opened,
            AnswerStore(store) as kept,
        ):
            self.digests[name] = opened.digest
            self.formats[name] = describe_model(opened.description)
            for task in self.tasks:
                label = f"{name}: {task}"
                with output.progress(label, len(self.places), quiet=self.quiet) as tick:
                    speed = _Speed(tick)
                    answers = answer_questions(
                        opened, self.records(task), PAPER_QUESTION, kept, on_progress=speed
                    )
                speed.say(label, quiet=self.quiet)
                self.predictions.setdefault(task, {})[name] = prediction_from_answers(
                    answers, PAPER_QUESTION
                )

    def add_baselines(self) -> None:
        """Predicts out of fold, once; tasks share the figures, for no diagnosis is in them."""
        from evaluator.mortality.baselines import BASELINES, predict_out_of_fold
        from evaluator.mortality.features import extract_features
        from evaluator.mortality.predictions import prediction_from_probabilities

        if self.outcomes.one_class:
            self._warn("no baselines: a cohort with one class only teaches nothing")
            return
        matrix = extract_features(self.cohort).values[self.places]
        for kind in BASELINES:
            output.say(f"fitting {kind}", quiet=self.quiet)
            chances = predict_out_of_fold(
                kind, matrix, self.outcomes.died, self.outcomes.patients, seed=self.seed
            )
            for task in self.tasks:
                self.predictions.setdefault(task, {})[kind] = prediction_from_probabilities(chances)

    def models(self, groups: dict[str, str], weights: dict[str, str]) -> "dict[str, ReportedModel]":
        """What the main table tells of each model."""
        from evaluator.mortality.baselines import BASELINES
        from evaluator.mortality.evaluation import ReportedModel
        from evaluator.mortality.published import BASELINE, GROUPS, OTHER, model_group

        unknown = (groups.keys() | weights.keys()) - self.digests.keys()
        if unknown or not set(groups.values()) <= {*GROUPS, OTHER}:
            raise UsageError(
                "--group and --lambda name models of --model, and groups of the main table",
                hint=f"groups are {', '.join((*GROUPS, OTHER))}",
            )
        found = {
            name: ReportedModel(
                groups.get(name, model_group(name)), _weight(weights.get(name)), digest
            )
            for name, digest in self.digests.items()
        }
        return found | {name: ReportedModel(BASELINE) for name in BASELINES}

    def report(
        self,
        groups: dict[str, str],
        weights: dict[str, str],
        resamples: int,
        form: str,
        predictions: Path | None,
        plots: Sequence[Path],
        out: Path | None,
    ) -> None:
        """Works all figures out and writes what was asked for."""
        from evaluator.mortality.evaluation import evaluate_predictions
        from evaluator.mortality.question import PAPER_QUESTION
        from evaluator.mortality.report import build_report
        from evaluator.reporting.documents import render_document
        from evaluator.statistics.bootstrap import Resampling
        from patientdx.formats import atomic_writer

        models = self.models(groups, weights)
        settings = Resampling(resamples=resamples, seed=self.seed)
        found = evaluate_predictions(self.predictions, self.outcomes, models, settings)
        self.write(predictions)
        draw(found, plots)
        document = build_report(found, PAPER_QUESTION, self.cohort.meta, self.notes())
        with atomic_writer(out or "-") as stream:
            stream.write(render_document(document, form))

    def write(self, folder: Path | None) -> None:
        """Writes a file a task and model, for meds-evaluation."""
        from evaluator.mortality.predictions_file import write_predictions

        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for task, of in self.predictions.items():
            for name, one in of.items():
                path = folder / f"{_file_name(task)}.{_file_name(name)}.parquet"
                write_predictions(path, one, self.outcomes)

    def notes(self) -> dict[str, str]:
        """What the report says of this run."""
        sampled = len(self.places) < len(self.cohort)
        told = {"cohort": str(self.cohort.path)}
        told |= {
            "sections": "; ".join(f"{task}: {', '.join(of)}" for task, of in self.tasks.items())
        }
        told |= {f"model {name}": how for name, how in self.formats.items()}
        if sampled:
            how = "stratified by outcome, " if self.stratified else ""
            told["sample"] = f"{len(self.places):,} of {len(self.cohort):,}, {how}seed {self.seed}"
        empty = [f"{count:,} ({task})" for task, count in self.empty.items() if count]
        if empty:
            told["empty records"] = f"{', '.join(empty)}: asked about all the same"
        return told

    def records(self, task: str) -> Iterator[Sequence[str]]:
        """The sections of each stay that is asked about, as text, and counts empty ones."""
        from evaluator.cohorts import read_templates, render_stay

        words = read_templates(self.templates)
        chosen = set(self.places)
        self.empty[task] = 0
        for place, stay in enumerate(self.cohort):
            if place in chosen:
                texts = render_stay(stay, self.tasks[task], templates=words)
                self.empty[task] += not texts
                yield [one.text for one in texts]

    def _warn(self, sentence: str) -> None:
        output.say(f"warning: {sentence}", quiet=self.quiet)


def open_work(
    path: Path,
    tasks: Sequence[str],
    templates: Path | None,
    sample: int | None,
    seed: int,
    *,
    stratified: bool = False,
    quiet: bool,
) -> Work:
    """The stays of a cohort file, or so many of them, drawn by the seed.

    A `stratified` sample has the cohort's share of deaths.
    """
    from evaluator.cohorts import parse_sections, read_cohort
    from evaluator.mortality.predictions import Outcomes
    from evaluator.mortality.sampling import sample_stratified

    chosen = {name: parse_sections(name) for name in tasks}
    cohort = read_cohort(path)
    if stratified and sample is not None:
        places = sample_stratified(cohort.died, sample, seed)
    else:
        places = _places(len(cohort), sample, seed)
    of = Outcomes.from_cohort(cohort, places)
    return Work(cohort, of, places, chosen, templates, seed, quiet, stratified)


class _Speed:
    """Counts stays that were answered, and how fast those were that were not kept before."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        self._tick = tick
        self._start = time.perf_counter()
        self._stays = self._kept = 0

    def __call__(self, step: "AnswerProgress") -> None:
        self._stays += step.stays
        self._kept += step.stays if step.from_store else 0
        self._tick(self._stays)

    def say(self, label: str, *, quiet: bool) -> None:
        """Tells stays a second."""
        asked = self._stays - self._kept
        seconds = time.perf_counter() - self._start
        told = f"{asked:,} stays in {seconds:.0f} s ({asked / seconds:.2f} a second)"
        output.say(f"{label}: {told}, {self._kept:,} answered before", quiet=quiet)


def draw(found: "MortalityResults", paths: Sequence[Path]) -> None:
    """Draws the curves of each task; the task is added to the name of each file."""
    from evaluator.mortality.plots import plot_curves

    for task in found.tasks if paths else ():
        named = [path.with_stem(f"{path.stem}-{_file_name(task)}") for path in paths]
        plot_curves(found, task, named)


def describe_model(model: "ModelDescription") -> str:
    """Number type, prompt format, quantization and context of a model, for the report."""
    facts = [f"dtype {model.dtype}", f"prompt format {model.prompt_format}"]
    facts += [f"quantized {model.quantization}"] if model.quantization != "none" else []
    facts += [f"context {model.context:,}"] if model.context else []
    return ", ".join(facts)


def _weight(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"--lambda is NAME=NUMBER, not `{text}`") from None


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-._" else "_" for sign in name)


def _places(stays: int, sample: int | None, seed: int) -> list[int]:
    import numpy as np

    if sample is None or sample >= stays:
        return list(range(stays))
    drawn = np.random.default_rng(seed).choice(stays, size=sample, replace=False)
    return sorted(int(place) for place in drawn)
