"""The tables of a report, the main one in the shape of the paper's."""

import math

import numpy as np

from evaluator.cohorts.flow import flow_table
from evaluator.cohorts.metadata import CohortMeta
from evaluator.reporting.cells import Grid, one_line
from evaluator.reporting.documents import Part
from evaluator.statistics.decision_curves import decision_curve
from evaluator.statistics.intervals import Interval

from .contrasts import Contrast
from .evaluation import Evaluation
from .figures import HEADLINES, Figure
from .predictions import Prediction
from .published import SOURCE, published

THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
"""Probabilities at which net benefit is told."""

TITLES = {
    "auroc-hard": "auroc-hard: equals balanced accuracy (the paper's AUROC)",
    "auprc": "auprc: average precision of P(yes) (the paper's AUPRC)",
    "auroc": "auroc: of the probabilities P(yes)",
}

_CALIBRATION = ("brier", "scaled-brier", "ece", "intercept", "slope", "in-the-large")


def main_tables(found: Evaluation) -> list[Part]:
    """One table a headline figure: models in groups, a column a task, and their average."""
    return [_main(found, name) for name in HEADLINES]


def answers_table(found: Evaluation) -> Part:
    """How models answered: what could not be read, what was cut, how sure they were at all."""
    header = ["task", "model", "n", "deaths", "yes", "no", "neither", "cut", "tokens", "mass"]
    rows = []
    n = [str(len(found.outcomes)), str(found.outcomes.deaths)]
    for task, shown, name in found.once:
        one = found.tasks[task][name]
        yes, no = (sum(answer is kind for answer in one.answers) for kind in (True, False))
        counts = [str(number) for number in (yes, no, one.unreadable, one.cut)]
        rows.append([shown, name, *n, *counts, *_read(one)])
    note = (
        "neither: answers that are neither yes nor no, 1/2 each in auroc-hard. cut: records longer"
        " than the context, which lost the middle of their long sections. tokens: median of the"
        " prompt. mass: mean probability that the reply begins with any of the answers."
    )
    return Part("Answers", _grid([header, *rows], 2), note)


def calibration_table(found: Evaluation) -> Part:
    """Calibration of P(yes)."""
    rows = []
    for task, shown, name in found.once:
        values = found.figures[task][name].values
        rows.append([shown, name, *(_shown(values.get(figure)) for figure in _CALIBRATION)])
    note = (
        "scaled-brier: 1 is perfect, 0 no better than the prevalence. ece: 10 bins of equal width."
        " intercept and slope: logistic recalibration, perfect is 0 and 1, with Wald intervals;"
        " in-the-large: the intercept beside a slope of 1; - where there is no fit."
    )
    return Part("Calibration", _grid([["task", "model", *_CALIBRATION], *rows], 2), note)


def benefit_table(found: Evaluation) -> Part:
    """Net benefit at a few thresholds."""
    shares = [f"{threshold:.0%}" for threshold in THRESHOLDS]
    died = found.outcomes.died
    everybody = decision_curve(died, np.zeros(len(died)), THRESHOLDS).everybody
    rows = [["all", "(acting on everybody)", *_benefit(everybody)]]
    for task, shown, name in found.once:
        chances = found.tasks[task][name].probability
        rows.append([shown, name, *_benefit(decision_curve(died, chances, THRESHOLDS).model)])
    note = "In true positives a stay (Vickers & Elkin 2006); acting on nobody is worth 0."
    return Part("Net benefit by threshold", _grid([["task", "model", *shares], *rows], 2), note)


def contrast_table(found: Evaluation) -> Part | None:
    """Models against the first one; None where there is no other."""
    rows = [[task, *_contrast(one)] for task, of in found.contrasts.items() for one in of]
    if not rows:
        return None
    baseline = next(one.baseline for of in found.contrasts.values() for one in of)
    header = ["task", "model", "auroc", "p (DeLong)", "p (Holm)", "auprc", "auroc-hard"]
    note = (
        "Model minus baseline on the same stays. auroc: DeLong's paired test and interval (stays"
        " count as independent), Holm over the models of a task; auprc and auroc-hard: paired"
        " bootstrap by patient."
    )
    return Part(f"Differences to {baseline}", _grid([header, *rows], 2), note)


def subgroup_table(found: Evaluation) -> Part:
    """AUROC, AUPRC and auroc-hard by sex, age band and unit."""
    header = ["task", "model", "by", "level", "n", "deaths", "auroc", "auprc", "auroc-hard"]
    rows = []
    for task, shown, name in found.once:
        for one in found.subgroups[task][name]:
            figure = None if one.auroc is None else Figure(one.auroc, one.interval)
            head = [shown, name, one.by, one.level, str(one.n), str(one.deaths)]
            plain = [_number(one.auprc), _number(one.auroc_hard)]
            rows.append([*head, _shown(figure), *plain])
    note = "Intervals are DeLong's, stays counted as independent; - where all died or all lived."
    return Part("Subgroups", _grid([header, *rows], 4), note)


def flow_part(meta: CohortMeta) -> Part | None:
    """What the cohort was made of, and what was dropped; None where that is not known."""
    if not meta.flow:
        return None
    lines = [["of", "rule: left out is what ...", "dropped", "left"]]
    lines += [list(line) for line in flow_table(meta.flow)]
    return Part("Flow of the cohort", _grid(lines, 2), "From all rows of the source.")


def shown_interval(interval: Interval) -> str:
    """The ends of an interval in brackets."""
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _main(found: Evaluation, name: str) -> Part:
    several = len(found.tasks) > 1
    paper = name in {"auroc-hard", "auprc"}
    header = ["group", "model", "λ", *found.tasks, *(["average"] if several else [])]
    rows = []
    for model in found.in_order:
        about = found.models[model]
        weight = "" if about.weight is None else f"{about.weight:g}"
        row = [about.group, model, weight]
        for task in found.tasks:
            figures = found.figures[task].get(model)
            row.append(_shown(figures.values.get(name) if figures else None))
        row += [_shown(found.average(model, name))] if several else []
        rows.append([*row, *([_published(model, name)] if paper else [])])
    header += ["paper"] if paper else []
    outcomes = found.outcomes
    note = (
        f"n = {len(outcomes):,} stays of {len(set(outcomes.patients)):,} patients,"
        f" {outcomes.deaths:,} deaths: prevalence {outcomes.prevalence:.3f}."
    )
    note += " A model that knows nothing gets the prevalence." if name == "auprc" else ""
    return Part(
        TITLES[name], _grid([header, *rows], 3), f"{note} {SOURCE if paper else ''}".strip()
    )


def _published(model: str, name: str) -> str:
    known = published(model)
    value = known and (known.auroc_hard if name == "auroc-hard" else known.auprc)
    return value or "-"


def _read(one: Prediction) -> list[str]:
    if one.tokens is None or one.mass is None:
        return ["-", "-"]
    return [f"{float(np.median(one.tokens)):.0f}", f"{float(one.mass.mean()):.4f}"]


def _contrast(one: Contrast) -> list[str]:
    delong = one.delong
    cells = ["-", "-", "-"]
    if delong is not None:
        p = [f"{delong.p:.3g}", "-" if one.holm is None else f"{one.holm:.3g}"]
        cells = [_difference(delong.difference, delong.interval), *p]
    pairs = [one.differences.get(name) for name in ("auprc", "auroc-hard")]
    return [one.model, *cells, *("-" if pair is None else _difference(*pair) for pair in pairs)]


def _difference(value: float, interval: Interval | None) -> str:
    told = "" if interval is None else f" [{interval.low:+.4f}, {interval.high:+.4f}]"
    return f"{value:+.4f}{told}"


def _benefit(values: np.ndarray) -> list[str]:
    return [f"{value:+.4f}" for value in values]


def _shown(figure: Figure | None) -> str:
    if figure is None or not math.isfinite(figure.value):
        return "-"
    told = "" if figure.interval is None else f" {shown_interval(figure.interval)}"
    return f"{figure.value:.4f}{told}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _grid(lines: list[list[str]], words: int) -> Grid:
    return Grid(tuple(tuple(one_line(cell) for cell in cells) for cells in lines), words)
