"""The tables of a report, the main one in the shape of the paper's."""

import math

import numpy as np

from evaluator.cohorts.flow import flow_table
from evaluator.cohorts.metadata import CohortMeta
from evaluator.reporting.documents import DocumentPart
from evaluator.reporting.text_table import TextTable, one_line
from evaluator.statistics.decision_curves import decision_curve
from evaluator.statistics.intervals import Interval
from patientdx.wording import count_noun

from .contrasts import Contrast
from .evaluation import MortalityResults
from .metrics import CALIBRATION_METRICS, HEADLINE_METRICS, MetricValue, MortalityMetric
from .predictions import Prediction
from .published import SOURCE, find_published

THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
"""The probabilities at which the table shows net benefit."""

_PAIRED = tuple(metric.name for metric in reversed(HEADLINE_METRICS) if metric.name != "auroc")
"""The metrics whose differences have intervals of the paired bootstrap; auroc has DeLong's."""


def main_tables(results: MortalityResults) -> list[DocumentPart]:
    """One table per headline metric: models in groups, a column per task, and their average."""
    return [_main_table(results, metric) for metric in HEADLINE_METRICS]


def answers_table(results: MortalityResults) -> DocumentPart:
    """Counts of yes, no and unreadable answers, of cut records, and the mass of the answers."""
    header = ["task", "model", "n", "deaths", "yes", "no", "neither", "cut", "tokens", "mass"]
    rows = []
    n = [str(len(results.outcomes)), str(results.outcomes.deaths)]
    for task, label, model in results.distinct_predictions:
        prediction = results.tasks[task][model]
        yes, no = (sum(answer is kind for answer in prediction.answers) for kind in (True, False))
        counts = [str(count) for count in (yes, no, prediction.unreadable, prediction.cut)]
        rows.append([label, model, *n, *counts, *_prompt_cells(prediction)])
    note = (
        "neither: answers that are neither yes nor no, 1/2 each in auroc-hard. cut: records longer"
        " than the context, which lost the middle of their long sections. tokens: median of the"
        " prompt. mass: mean probability that the reply begins with any of the answers."
    )
    return DocumentPart("Answers", _make_grid([header, *rows], 2), note)


def calibration_table(results: MortalityResults) -> DocumentPart:
    """Calibration of P(yes)."""
    names = [metric.name for metric in CALIBRATION_METRICS]
    rows = []
    for task, label, model in results.distinct_predictions:
        values = results.metrics[task][model].values
        rows.append([label, model, *(_value_cell(values.get(name)) for name in names)])
    note = (
        "scaled-brier: 1 is perfect, 0 no better than the prevalence. ece: 10 bins of equal width."
        " intercept and slope: logistic recalibration, perfect is 0 and 1, with Wald intervals;"
        " in-the-large: the intercept beside a slope of 1; - where there is no fit."
    )
    return DocumentPart("Calibration", _make_grid([["task", "model", *names], *rows], 2), note)


def benefit_table(results: MortalityResults) -> DocumentPart:
    """Net benefit at a few thresholds."""
    shares = [f"{threshold:.0%}" for threshold in THRESHOLDS]
    died = results.outcomes.died
    everybody = decision_curve(died, np.zeros(len(died)), THRESHOLDS).everybody
    rows = [["all", "(acting on everybody)", *_benefit_cells(everybody)]]
    for task, label, model in results.distinct_predictions:
        curve = decision_curve(died, results.tasks[task][model].probability, THRESHOLDS)
        rows.append([label, model, *_benefit_cells(curve.model)])
    note = "In true positives a stay (Vickers & Elkin 2006); acting on nobody is worth 0."
    grid = _make_grid([["task", "model", *shares], *rows], 2)
    return DocumentPart("Net benefit by threshold", grid, note)


def contrast_table(results: MortalityResults) -> DocumentPart | None:
    """Each model against the first; None where there is only one."""
    contrasts = [
        (task, contrast) for task, of_task in results.contrasts.items() for contrast in of_task
    ]
    if not contrasts:
        return None
    header = ["task", "model", "auroc", "p (DeLong)", "p (Holm)", *_PAIRED]
    rows = [[task, *_contrast_cells(contrast)] for task, contrast in contrasts]
    note = (
        "Model minus baseline on the same stays. auroc: DeLong's paired test and interval (stays"
        f" count as independent), Holm over the models of a task; {' and '.join(_PAIRED)}: paired"
        " bootstrap by patient."
    )
    title = f"Differences to {contrasts[0][1].baseline}"
    return DocumentPart(title, _make_grid([header, *rows], 2), note)


def subgroup_table(results: MortalityResults) -> DocumentPart:
    """AUROC, AUPRC and auroc-hard by sex, age band and unit."""
    header = ["task", "model", "by", "level", "n", "deaths", "auroc", "auprc", "auroc-hard"]
    rows = []
    for task, label, model in results.distinct_predictions:
        for row in results.subgroups[task][model]:
            auroc = None if row.auroc is None else MetricValue(row.auroc, row.interval)
            group = [label, model, row.by, row.level, str(row.n), str(row.deaths)]
            cells = [_value_cell(auroc), _number_cell(row.auprc), _number_cell(row.auroc_hard)]
            rows.append([*group, *cells])
    note = "Intervals are DeLong's, stays counted as independent; - where all died or all lived."
    return DocumentPart("Subgroups", _make_grid([header, *rows], 4), note)


def flow_part(meta: CohortMeta) -> DocumentPart | None:
    """The rows of the source that each rule dropped; None where that is unknown."""
    if not meta.flow:
        return None
    lines = [["of", "rule: left out is what ...", "dropped", "left"]]
    lines += [list(line) for line in flow_table(meta.flow)]
    return DocumentPart("Flow of the cohort", _make_grid(lines, 2), "From all rows of the source.")


def format_interval(interval: Interval) -> str:
    """The ends of an interval in brackets."""
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _main_table(results: MortalityResults, metric: MortalityMetric) -> DocumentPart:
    several = len(results.tasks) > 1
    published = metric.published is not None
    header = ["group", "model", "λ", *results.tasks]
    header += ["average"] if several else []
    header += ["paper"] if published else []
    rows = []
    for model in results.ordered_models:
        description = results.models[model]
        weight = "" if description.weight is None else f"{description.weight:g}"
        row = [description.group, model, weight]
        for task in results.tasks:
            metrics = results.metrics[task].get(model)
            row.append(_value_cell(metrics.values.get(metric.name) if metrics else None))
        row += [_value_cell(results.average(model, metric.name))] if several else []
        row += [_published_cell(model, metric)] if published else []
        rows.append(row)
    outcomes = results.outcomes
    counts = (
        f"n = {count_noun(len(outcomes), 'stay')} of "
        f"{count_noun(len(set(outcomes.patients)), 'patient')},"
        f" {count_noun(outcomes.deaths, 'death')}: prevalence {outcomes.prevalence:.3f}."
    )
    notes = (counts, metric.note, SOURCE if published else "")
    note = " ".join(text for text in notes if text)
    return DocumentPart(metric.title, _make_grid([header, *rows], 3), note)


def _published_cell(model: str, metric: MortalityMetric) -> str:
    result = find_published(model)
    value = result and metric.published and getattr(result, metric.published)
    return value or "-"


def _prompt_cells(prediction: Prediction) -> list[str]:
    """Median prompt length, and mean probability of any answer."""
    if prediction.tokens is None or prediction.answer_mass is None:
        return ["-", "-"]
    tokens, mass = float(np.median(prediction.tokens)), float(prediction.answer_mass.mean())
    return [f"{tokens:.0f}", f"{mass:.4f}"]


def _contrast_cells(contrast: Contrast) -> list[str]:
    delong = contrast.delong
    cells = ["-", "-", "-"]
    if delong is not None:
        p = [f"{delong.p:.3g}", "-" if contrast.holm is None else f"{contrast.holm:.3g}"]
        cells = [_difference_cell(delong.difference, delong.interval), *p]
    pairs = [contrast.differences.get(name) for name in _PAIRED]
    cells += ["-" if pair is None else _difference_cell(*pair) for pair in pairs]
    return [contrast.model, *cells]


def _difference_cell(value: float, interval: Interval | None) -> str:
    ends = "" if interval is None else f" [{interval.low:+.4f}, {interval.high:+.4f}]"
    return f"{value:+.4f}{ends}"


def _benefit_cells(values: np.ndarray) -> list[str]:
    return [f"{value:+.4f}" for value in values]


def _value_cell(value: MetricValue | None) -> str:
    if value is None or not math.isfinite(value.value):
        return "-"
    ends = "" if value.interval is None else f" {format_interval(value.interval)}"
    return f"{value.value:.4f}{ends}"


def _number_cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _make_grid(lines: list[list[str]], text_columns: int) -> TextTable:
    return TextTable(tuple(tuple(one_line(cell) for cell in line) for line in lines), text_columns)
