"""Retention in reports: a table for each figure that is measured beside the metric."""

from typing import Any

from evaluator.reporting.documents import DocumentPart
from evaluator.reporting.text_table import TextTable, one_line
from evaluator.selection.evidence.pareto import best_retaining_input, pareto_points
from evaluator.selection.evidence.retention import RetentionCurve
from evaluator.selection.nested_selection import Selection

from .estimate_format import estimate_data, format_estimate

_NOTE = (
    "*: chosen. change: against the input that retains most, λ = {best}. front: no λ is better in "
    "both figures (Pareto). {direction} {name} is better."
)


def retention_part(pair: str, selection: Selection, curve: RetentionCurve) -> DocumentPart:
    """The table of one figure: every candidate's metric, retention, change, and front."""
    best = best_retaining_input(selection, curve)
    reference = None if best is None else curve.at(best)
    rows = []
    for point in pareto_points(selection, curve):
        mark = " *" if point.candidate == selection.chosen else ""
        change = "-" if reference is None else f"{point.retention.value - reference.value:+.4f}"
        rows.append(
            [
                f"{point.candidate}{mark}",
                format_estimate(point.metric),
                format_estimate(point.retention),
                change,
                "yes" if point.on_front else "",
            ]
        )
    header = ["λ", selection.metric, one_line(curve.name), "change", "front"]
    direction = "Less" if curve.lower_is_better else "More"
    note = _NOTE.format(best="-" if best is None else best, direction=direction, name=curve.name)
    title = f"Retention of {one_line(pair)}: {one_line(curve.name)}"
    return DocumentPart(title, TextTable.build(header, rows), note)


def retention_data(selection: Selection, curve: RetentionCurve) -> dict[str, Any]:
    """A figure as plain values."""
    best = best_retaining_input(selection, curve)
    return {
        "name": curve.name,
        "unit": curve.unit,
        "lower_is_better": curve.lower_is_better,
        "best_input": None if best is None else dict(best.values),
        "points": [
            {
                "candidate": dict(point.candidate.values),
                "metric": point.metric.value,
                **estimate_data(point.retention),
                "on_front": point.on_front,
            }
            for point in pareto_points(selection, curve)
        ],
    }
