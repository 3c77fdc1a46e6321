"""The metric against retention: every candidate as a point, and the Pareto front through the best.

A row of panels for each pair, a panel for each retention figure.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.reporting.figures import open_figure, wrap_title, write_figure
from evaluator.reporting.point_labels import label_points
from evaluator.reporting.text_table import one_line
from evaluator.selection.candidates import Candidate
from evaluator.selection.evidence.pareto import ParetoPoint, pareto_points
from evaluator.selection.evidence.retention import RetentionCurve
from evaluator.selection.nested_selection import Selection
from patientdx.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008.
_MERGE, _INPUT, _CHOSEN, _FRONT, _INTERVAL = "#0072B2", "#D55E00", "#009E73", "#666666", "#BBBBBB"
_PANEL = (5.0, 4.0)  # inches
_FAR_APART = 5
_INTERVALS = 12
"""Up to this many points have their intervals drawn; more would hide one another."""


def plot_pareto(selections: Mapping[str, Selection], paths: Sequence[Path | str]) -> None:
    """Draws every candidate's metric against its retention, as PNG or SVG by the suffix.

    Raises ExtraMissingError without matplotlib, EvaluationError for another suffix and where no
    retention was measured.
    """
    if not any(selection.retention for selection in selections.values()):
        raise EvaluationError(
            "a Pareto front needs a measure of retention", hint="--retention-text FILE"
        )
    write_figure(lambda: _figure(selections), paths)


def _figure(selections: Mapping[str, Selection]) -> "Figure":
    columns = max(len(selection.retention) for selection in selections.values())
    figure = open_figure(_PANEL[0] * columns, _PANEL[1] * len(selections))
    panels = figure.subplots(len(selections), columns, squeeze=False)
    drawn = []
    for row, (pair, selection) in zip(panels, selections.items(), strict=True):
        for axes in row[len(selection.retention) :]:
            axes.set_visible(False)
        for axes, curve in zip(row, selection.retention, strict=False):
            points = pareto_points(selection, curve)
            _draw_panel(axes, selection, curve, points)
            title = f"{wrap_title(pair)}\nn = {selection.n:,}, labels are λ"
            axes.set_title(title, loc="left", parse_math=False)
            drawn.append((axes, points))
    for axes, points in drawn:  # when the layout of all panels is final
        places = [(point.retention.value, point.metric.value) for point in points]
        label_points(axes, places, [_label(point.candidate) for point in points])
    return figure


def _label(candidate: Candidate) -> str:
    """The λ of a candidate, or its values alone, in the order of their names."""
    if candidate.weight is not None:
        return str(candidate)
    values = (value for _, value in candidate.values)
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def _draw_panel(
    axes: "Axes", selection: Selection, curve: RetentionCurve, points: Sequence[ParetoPoint]
) -> None:
    if len(points) <= _INTERVALS:
        for point in points:
            _draw_interval(axes, point)
    front = sorted(
        (point for point in points if point.on_front), key=lambda point: point.retention.value
    )
    axes.plot(
        [point.retention.value for point in front],
        [point.metric.value for point in front],
        color=_FRONT,
        linewidth=1.2,
        marker="o",
        markersize=8.5,
        markerfacecolor="none",
        label="Pareto front",
    )
    inputs = {contrast.baseline for contrast in selection.contrasts if contrast.is_input}
    merges = [point for point in points if point.candidate not in inputs]
    chosen = [point for point in points if point.candidate == selection.chosen]
    _scatter(axes, merges, "merge", color=_MERGE, marker="o", size=5)
    singles = [point for point in points if point.candidate in inputs]
    _scatter(axes, singles, "input", color=_INPUT, marker="D", size=6)
    _scatter(axes, chosen, "chosen", color="none", marker="o", size=13, edge=_CHOSEN)
    _set_axes(axes, selection, curve)
    if _spans_orders([point.retention.value for point in points]):
        axes.set_xscale("log")
    if _spans_orders([point.metric.value for point in points]):
        axes.set_yscale("log")


def _spans_orders(values: Sequence[float]) -> bool:
    """Whether values are so far apart that a logarithmic axis shows them better."""
    return bool(values) and min(values) > 0 and max(values) > _FAR_APART * min(values)


def _scatter(
    axes: "Axes",
    points: Sequence[ParetoPoint],
    label: str,
    *,
    color: str,
    marker: str,
    size: float,
    edge: str | None = None,
) -> None:
    if points:
        axes.plot(
            [point.retention.value for point in points],
            [point.metric.value for point in points],
            linestyle="none",
            marker=marker,
            markersize=size,
            markerfacecolor=color,
            markeredgecolor=edge or color,
            markeredgewidth=1.6 if edge else 0.5,
            label=label,
        )


def _draw_interval(axes: "Axes", point: ParetoPoint) -> None:
    if point.metric.interval is not None:
        places = [point.retention.value] * 2
        axes.plot(places, list(point.metric.interval), color=_INTERVAL, linewidth=0.7, zorder=0)


def _set_axes(axes: "Axes", selection: Selection, curve: RetentionCurve) -> None:
    """Labels, a legend below the axes, and directions: better is always right and up."""
    axes.set_xlabel(f"{one_line(curve.name)} (right is better)", parse_math=False)
    axes.set_ylabel(f"{selection.metric} (up is better)", parse_math=False)
    if curve.lower_is_better:
        axes.invert_xaxis()
    if selection.lower_is_better:
        axes.invert_yaxis()
    axes.margins(0.09)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, frameon=False, fontsize=8)
