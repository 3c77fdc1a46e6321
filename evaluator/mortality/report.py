"""The report of an evaluation: its tables, what they rest on, and everything in full for JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evaluator.cohorts.metadata import CohortMeta
from evaluator.reporting.documents import Document, Part
from evaluator.statistics import calibration
from evaluator.statistics.decision_curves import decision_curve
from evaluator.statistics.intervals import Interval

from .contrasts import Contrast
from .evaluation import Evaluation
from .figures import Figure, Figures
from .predictions import Prediction
from .published import BASELINE, published
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
    found: Evaluation,
    question: Question,
    meta: CohortMeta,
    notes: Mapping[str, str] | None = None,
) -> Document:
    """All tables; `notes` say what else a reader must know (the cohort's file, formats ...)."""
    told = {**(notes or {}), **_notes(found, question, meta)}
    parts: list[Part | None] = [*main_tables(found), contrast_table(found)]
    parts += [answers_table(found), calibration_table(found), benefit_table(found)]
    parts += [subgroup_table(found), flow_part(meta)]
    return Document(
        TITLE,
        tuple(part for part in parts if part is not None),
        told,
        _method(found),
        _data(found, question, meta),
    )


def _notes(found: Evaluation, question: Question, meta: CohortMeta) -> dict[str, str]:
    outcomes = found.outcomes
    notes = {
        "source": meta.source,
        "n": f"{len(outcomes):,} stays of {len(set(outcomes.patients)):,} patients, "
        f"{outcomes.deaths:,} deaths, prevalence {outcomes.prevalence:.4f}",
        "question": f"{question.before}{{record}}{question.after.rstrip()} ({question.status})",
        "answers": f"yes: {', '.join(question.positive)}; no: {', '.join(question.negative)}; "
        f"at most {question.new_tokens} tokens, greedy",
    }
    if outcomes.one_class:
        only = "died" if outcomes.deaths else "survived"
        notes["one class"] = f"everybody {only}: AUROC, AUPRC and what needs both are undefined"
    if any(about.group == BASELINE for about in found.models.values()):
        notes["baselines"] = (
            "numbers of the same 48 hours, without diagnoses; 5 folds by patient, each stay "
            "predicted out of fold; yes from 1/2 on"
        )
    notes |= {f"cohort {at}": note for at, note in enumerate(meta.notes, 1)}
    return notes


def _method(found: Evaluation) -> str:
    settings = found.settings
    return (
        f"[low, high]: {settings.level * 100:g}% percentile bootstrap by patient (all stays of a "
        f"patient are drawn together), {settings.resamples:,} resamples, seed {settings.seed}, the "
        "same resamples for all models, unless said otherwise. auroc-hard is the AUROC of hard "
        "yes/no answers, which equals balanced accuracy, (TPR + TNR) / 2: not comparable with an "
        "AUROC of probabilities. P(yes) = P(yes) / (P(yes) + P(no)), each summed over its surface "
        "forms at the first token of the reply."
    )


def _data(found: Evaluation, question: Question, meta: CohortMeta) -> dict[str, Any]:
    outcomes = found.outcomes
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
        "bootstrap": asdict(found.settings),
        "models": {name: about._asdict() | _paper(name) for name, about in found.models.items()},
        "tasks": {task: _task(found, task) for task in found.tasks},
        "average": {
            name: {
                figure: _figure(average)
                for figure in ("auroc-hard", "auprc", "auroc")
                if (average := found.average(name, figure)) is not None
            }
            for name in found.models
        },
    }


def _paper(name: str) -> dict[str, Any]:
    known = published(name)
    return {"paper": known and {"auroc-hard": known.auroc_hard, "auprc": known.auprc}}


def _task(found: Evaluation, task: str) -> dict[str, Any]:
    return {
        "models": {
            name: {
                **_figures(found.figures[task][name]),
                **_answers(one),
                "calibration-curve": [
                    group._asdict() | {"interval": _ends(group.interval)}
                    for group in calibration.calibration_curve(found.outcomes.died, one.probability)
                ],
                "net-benefit": _benefit(found, one),
                "subgroups": [_subgroup(row) for row in found.subgroups[task][name]],
            }
            for name, one in found.tasks[task].items()
        },
        "contrasts": [_contrast(one) for one in found.contrasts[task]],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    values = {name: _figure(figure) for name, figure in figures.values.items()}
    if figures.delong is not None:
        values["auroc"] |= {"delong": _ends(figures.delong)}
    return {"n": figures.n, "deaths": figures.deaths, "figures": values}


def _answers(one: Prediction) -> dict[str, Any]:
    found: dict[str, Any] = {
        "yes": sum(answer is True for answer in one.answers),
        "no": sum(answer is False for answer in one.answers),
        "neither": one.unreadable,
        "cut": one.cut,
    }
    if one.tokens is not None and one.mass is not None:
        found |= {"tokens": int(one.tokens.sum()), "mass": float(one.mass.mean())}
    return {"answers": found}


def _benefit(found: Evaluation, one: Prediction) -> dict[str, Any]:
    curve = decision_curve(found.outcomes.died, one.probability)
    return {name: values.tolist() for name, values in curve._asdict().items()}


def _subgroup(row: Subgroup) -> dict[str, Any]:
    return row._asdict() | {"interval": _ends(row.interval)}


def _contrast(one: Contrast) -> dict[str, Any]:
    delong = one.delong
    return {
        "model": one.model,
        "baseline": one.baseline,
        "delong": delong
        and {
            "difference": delong.difference,
            "interval": _ends(delong.interval),
            "z": delong.z if abs(delong.z) != float("inf") else None,
            "p": delong.p,
            "holm": one.holm,
        },
        "differences": {
            name: {"value": value, "interval": _ends(interval)}
            for name, (value, interval) in one.differences.items()
        },
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "interval": _ends(figure.interval)}


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
