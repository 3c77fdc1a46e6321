"""The report of an evaluation: its tables and notes, and all results in full for JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evaluator.cohorts.metadata import CohortMeta
from evaluator.reporting.documents import Document, DocumentPart
from evaluator.statistics.calibration import calibration_curve
from evaluator.statistics.decision_curves import decision_curve
from evaluator.statistics.intervals import Interval
from patientdx.wording import count_noun

from .contrasts import Contrast
from .evaluation import MortalityResults
from .metrics import HEADLINE_METRICS, MetricValue, ModelMetrics
from .predictions import Prediction
from .published import BASELINE, find_published
from .question import Question
from .report_tables import (
    answers_table,
    benefit_table,
    calibration_table,
    contrast_table,
    flow_part,
    main_tables,
    subgroup_table,
)
from .subgroups import Subgroup

TITLE = "Mortality prediction"


def build_report(
    results: MortalityResults,
    question: Question,
    meta: CohortMeta,
    notes: Mapping[str, str] | None = None,
) -> Document:
    """The report with all tables; `notes` are further ones (the cohort's file, formats ...)."""
    parts: list[DocumentPart | None] = [*main_tables(results), contrast_table(results)]
    parts += [answers_table(results), calibration_table(results), benefit_table(results)]
    parts += [subgroup_table(results), flow_part(meta)]
    return Document(
        TITLE,
        tuple(part for part in parts if part is not None),
        {**(notes or {}), **_notes(results, question, meta)},
        _method(results),
        _data(results, question, meta),
    )


def _notes(results: MortalityResults, question: Question, meta: CohortMeta) -> dict[str, str]:
    outcomes = results.outcomes
    notes = {
        "source": meta.source,
        "n": f"{count_noun(len(outcomes), 'stay')} of "
        f"{count_noun(len(set(outcomes.patients)), 'patient')}, "
        f"{count_noun(outcomes.deaths, 'death')}, prevalence {outcomes.prevalence:.4f}",
        "question": f"{question.before}{{record}}{question.after.rstrip()} ({question.status})",
        "answers": f"yes: {', '.join(question.positive)}; no: {', '.join(question.negative)}; "
        f"at most {question.new_tokens} tokens, greedy",
    }
    if outcomes.one_class:
        outcome = "died" if outcomes.deaths else "survived"
        notes["one class"] = f"everybody {outcome}: AUROC, AUPRC and what needs both are undefined"
    if any(model.group == BASELINE for model in results.models.values()):
        notes["baselines"] = (
            "numbers of the same 48 hours, without diagnoses; 5 folds by patient, each stay "
            "predicted out of fold; yes from 1/2 on"
        )
    notes |= {f"cohort {number}": note for number, note in enumerate(meta.notes, 1)}
    return notes


def _method(results: MortalityResults) -> str:
    resampling = results.resampling
    return (
        f"[low, high]: {resampling.level * 100:g}% percentile bootstrap by patient (all stays of a "
        f"patient are drawn together), {count_noun(resampling.resamples, 'resample')}, "
        f"seed {resampling.seed}, "
        "the same resamples for all models, unless said otherwise. auroc-hard is the AUROC of hard "
        "yes/no answers, which equals balanced accuracy, (TPR + TNR) / 2: not comparable with an "
        "AUROC of probabilities. P(yes) = P(yes) / (P(yes) + P(no)), each summed over its surface "
        "forms at the first token of the reply."
    )


def _data(results: MortalityResults, question: Question, meta: CohortMeta) -> dict[str, Any]:
    outcomes = results.outcomes
    return {
        "question": asdict(question),
        "cohort": {
            "source": meta.source,
            "settings": dict(meta.settings),
            "notes": list(meta.notes),
            "flow": [step._asdict() for step in meta.flow],
            "n": len(outcomes),
            "patients": len(set(outcomes.patients)),
            "deaths": outcomes.deaths,
            "prevalence": outcomes.prevalence,
        },
        "bootstrap": asdict(results.resampling),
        "models": {
            name: model._asdict() | _published_data(name) for name, model in results.models.items()
        },
        "tasks": {task: _task_data(results, task) for task in results.tasks},
        "average": {
            name: {
                metric.name: _value_data(average)
                for metric in HEADLINE_METRICS
                if (average := results.average(name, metric.name)) is not None
            }
            for name in results.models
        },
    }


def _published_data(name: str) -> dict[str, Any]:
    result = find_published(name)
    values = result and {
        metric.name: getattr(result, metric.published)
        for metric in HEADLINE_METRICS
        if metric.published is not None
    }
    return {"paper": values}


def _task_data(results: MortalityResults, task: str) -> dict[str, Any]:
    died = results.outcomes.died
    return {
        "models": {
            name: {
                **_metrics_data(results.metrics[task][name]),
                **_answers_data(prediction),
                "calibration-curve": [
                    group._asdict() | {"interval": _ends(group.interval)}
                    for group in calibration_curve(died, prediction.probability)
                ],
                "net-benefit": _benefit_data(results, prediction),
                "subgroups": [_subgroup_data(row) for row in results.subgroups[task][name]],
            }
            for name, prediction in results.tasks[task].items()
        },
        "contrasts": [_contrast_data(contrast) for contrast in results.contrasts[task]],
    }


def _metrics_data(metrics: ModelMetrics) -> dict[str, Any]:
    values = {name: _value_data(value) for name, value in metrics.values.items()}
    if metrics.delong is not None:
        values["auroc"] |= {"delong": _ends(metrics.delong)}
    return {"n": metrics.n, "deaths": metrics.deaths, "figures": values}


def _answers_data(prediction: Prediction) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "yes": sum(answer is True for answer in prediction.answers),
        "no": sum(answer is False for answer in prediction.answers),
        "neither": prediction.unreadable,
        "cut": prediction.cut,
    }
    if prediction.tokens is not None and prediction.answer_mass is not None:
        tokens, mass = int(prediction.tokens.sum()), float(prediction.answer_mass.mean())
        answers |= {"tokens": tokens, "mass": mass}
    return {"answers": answers}


def _benefit_data(results: MortalityResults, prediction: Prediction) -> dict[str, Any]:
    curve = decision_curve(results.outcomes.died, prediction.probability)
    return {name: values.tolist() for name, values in curve._asdict().items()}


def _subgroup_data(row: Subgroup) -> dict[str, Any]:
    return row._asdict() | {"interval": _ends(row.interval)}


def _contrast_data(contrast: Contrast) -> dict[str, Any]:
    delong = contrast.delong
    return {
        "model": contrast.model,
        "baseline": contrast.baseline,
        "delong": delong
        and {
            "difference": delong.difference,
            "interval": _ends(delong.interval),
            "z": delong.z if abs(delong.z) != float("inf") else None,
            "p": delong.p,
            "holm": contrast.holm,
        },
        "differences": {
            name: {"value": value, "interval": _ends(interval)}
            for name, (value, interval) in contrast.differences.items()
        },
    }


def _value_data(value: MetricValue) -> dict[str, Any]:
    return {"value": value.value, "interval": _ends(value.interval)}


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
