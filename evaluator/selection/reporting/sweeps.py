"""Metrics along λ: as CSV, and plotted with interval bands as in the paper's figure 1."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.reporting.figures import open_figure, write_figure
from evaluator.reporting.text_table import one_line
from evaluator.selection.estimates import CandidateEstimate
from evaluator.selection.evidence.verdict import chance_level
from evaluator.selection.nested_selection import Selection
from patientdx.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008.
_LINE, _END, _CHOSEN, _CHANCE = "#0072B2", "#D55E00", "#009E73", "#999999"
_PANEL = (4.6, 3.2)  # inches

EndNames = Mapping[str, tuple[str, str]]
"""The names of both inputs of each pair, λ = 0 and λ = 1."""


def sweep_csv(selections: Mapping[str, Selection]) -> str:
    """A header, then `pair,metric,lambda,value,low,high,n,chosen` rows, by pair and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("pair", "metric", "lambda", "value", "low", "high", "n", "chosen"))
    for pair, selection in selections.items():
        for name, points in selection.curves.items():
            for point in _sorted_points(points):
                low, high = point.estimate.interval or ("", "")
                chosen = int(point.candidate == selection.chosen)
                weight, value = str(point.candidate), point.estimate.value
                writer.writerow((pair, name, weight, value, low, high, point.n, chosen))
    return out.getvalue()


def plot_sweeps(
    selections: Mapping[str, Selection], paths: Sequence[Path | str], ends: EndNames | None = None
) -> None:
    """Draws a row of panels for each pair, one panel for each metric of its curves.

    Each path is written atomically, as PNG or SVG by its suffix. Raises ExtraMissingError without
    matplotlib, EvaluationError for another suffix and for candidates without a single λ.
    """
    if not selections or not all(
        _sorted_points(points)
        for selection in selections.values()
        for points in selection.curves.values()
    ):
        raise EvaluationError("curves along λ need candidates that are one λ each")
    write_figure(lambda: _figure(selections, ends or {}), paths)


def _sorted_points(points: Sequence[CandidateEstimate]) -> list[CandidateEstimate]:
    """The points whose candidate is a single λ, by increasing λ."""
    single = [point for point in points if point.candidate.weight is not None]
    return sorted(single, key=lambda point: point.candidate.weight or 0.0)


def _figure(selections: Mapping[str, Selection], ends: EndNames) -> "Figure":
    columns = max(len(selection.curves) for selection in selections.values())
    figure = open_figure(_PANEL[0] * columns, _PANEL[1] * len(selections))
    panels = figure.subplots(len(selections), columns, squeeze=False)
    for row, (pair, selection) in zip(panels, selections.items(), strict=True):
        for axes in row[len(selection.curves) :]:
            axes.set_visible(False)
        for axes, (name, points) in zip(row, selection.curves.items(), strict=False):
            pair_ends = ends.get(pair, ("first", "second"))
            _draw_panel(axes, selection, name, _sorted_points(points), pair_ends)
            axes.set_title(f"{one_line(pair)}: n = {selection.n:,}", loc="left", parse_math=False)
    return figure


def _draw_panel(
    axes: "Axes",
    selection: Selection,
    metric: str,
    points: Sequence[CandidateEstimate],
    ends: tuple[str, str],
) -> None:
    weights = [point.candidate.weight or 0.0 for point in points]
    values = [point.estimate.value for point in points]
    intervals = [
        point.estimate.interval or (point.estimate.value, point.estimate.value) for point in points
    ]
    low, high = [low for low, _ in intervals], [high for _, high in intervals]
    axes.fill_between(weights, low, high, color=_LINE, alpha=0.18, linewidth=0)
    axes.plot(weights, values, color=_LINE, linewidth=1.4, marker="o", markersize=3)
    inputs = {contrast.baseline for contrast in selection.contrasts if contrast.is_input}
    for point, weight, value in zip(points, weights, values, strict=True):
        if point.candidate in inputs:
            axes.plot([weight], [value], color=_END, marker="D", markersize=6)
    for end, label, side in ((0.0, ends[0], "left"), (1.0, ends[1], "right")):
        axes.annotate(
            one_line(label),
            (end, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -3),
            textcoords="offset points",
            horizontalalignment=side,
            verticalalignment="top",
            color=_END,
            parse_math=False,
        )
    if selection.chosen.weight is not None:
        axes.axvline(selection.chosen.weight, color=_CHOSEN, linewidth=1, linestyle=(0, (5, 3)))
    chance = chance_level(selection, metric)
    if chance is not None:
        axes.axhline(chance, color=_CHANCE, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlabel("λ")
    axes.set_ylabel(metric, parse_math=False)
