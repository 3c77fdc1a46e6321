"""Metrics against λ: as rows of a file, and drawn with bands as in the paper's figure 1."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.reporting.cells import one_line
from evaluator.reporting.plots import METADATA, format_of, style
from evaluator.selection.judging import Point
from evaluator.selection.selection import Selection
from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError
from patientdx.formats import atomic_writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008.
_LINE, _END, _CHOSEN, _CHANCE = "#0072B2", "#D55E00", "#009E73", "#999999"
_PANEL = (4.6, 3.2)  # inches

Ends = Mapping[str, tuple[str, str]]
"""The names of both inputs of each pair, λ = 0 and λ = 1."""


def sweep_csv(selections: Mapping[str, Selection]) -> str:
    """A header, then `pair,metric,lambda,value,low,high,n,chosen` rows, by pair and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("pair", "metric", "lambda", "value", "low", "high", "n", "chosen"))
    for pair, one in selections.items():
        for name, points in one.curves.items():
            for each in _ordered(points):
                low, high = each.judged.interval or ("", "")
                chosen = int(each.candidate == one.chosen)
                weight = str(each.candidate)
                writer.writerow((pair, name, weight, each.judged.value, low, high, each.n, chosen))
    return out.getvalue()


def plot_sweeps(
    selections: Mapping[str, Selection], paths: Sequence[Path | str], ends: Ends | None = None
) -> None:
    """Draws a row of panels for each pair, one for each metric of its curves.

    Each path is written atomically, as PNG or SVG by its suffix. Raises ExtraMissingError without
    matplotlib, EvaluationError for another suffix and where candidates are no single λ.
    """
    formats = [format_of(path) for path in paths]
    if not selections or not all(
        _ordered(p) for s in selections.values() for p in s.curves.values()
    ):
        raise EvaluationError("curves along λ need candidates that are one λ each")
    require_package("matplotlib", "report")
    with style():
        figure = _figure(selections, ends or {})
        for path, form in zip(paths, formats, strict=True):
            with atomic_writer(path, "wb") as out:
                figure.savefig(out, format=form, metadata=METADATA[form])


def _ordered(points: Sequence[Point]) -> list[Point]:
    """Those that are one λ, by it."""
    single = [one for one in points if one.candidate.weight is not None]
    return sorted(single, key=lambda one: one.candidate.weight or 0.0)


def _figure(selections: Mapping[str, Selection], ends: Ends) -> "Figure":
    """Drawn without pyplot, which would keep the figure and ask for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(one.curves) for one in selections.values())
    size = (_PANEL[0] * columns, _PANEL[1] * len(selections))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(selections), columns, squeeze=False)
    for row, (pair, one) in zip(panels, selections.items(), strict=True):
        for axes in row[len(one.curves) :]:
            axes.set_visible(False)
        for axes, (name, points) in zip(row, one.curves.items(), strict=False):
            _panel(axes, one, name, _ordered(points), ends.get(pair, ("first", "second")))
            axes.set_title(f"{one_line(pair)}: n = {one.n:,}", loc="left", parse_math=False)
    return figure


def _panel(
    axes: "Axes", one: Selection, name: str, points: Sequence[Point], ends: tuple[str, str]
) -> None:
    at = [each.candidate.weight or 0.0 for each in points]
    values = [each.judged.value for each in points]
    low = [
        each.judged.interval.low if each.judged.interval else each.judged.value for each in points
    ]
    high = [
        each.judged.interval.high if each.judged.interval else each.judged.value for each in points
    ]
    axes.fill_between(at, low, high, color=_LINE, alpha=0.18, linewidth=0)
    axes.plot(at, values, color=_LINE, linewidth=1.4, marker="o", markersize=3)
    for end, label, side in ((0.0, ends[0], "left"), (1.0, ends[1], "right")):
        for place, value in zip(at, values, strict=True):
            if place == end:
                axes.plot([place], [value], color=_END, marker="D", markersize=6)
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
    if one.chosen.weight is not None:
        axes.axvline(one.chosen.weight, color=_CHOSEN, linewidth=1, linestyle=(0, (5, 3)))
    chance = _chance(one, name)
    if chance is not None:
        axes.axhline(chance, color=_CHANCE, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlabel("λ")
    axes.set_ylabel(name, parse_math=False)


def _chance(one: Selection, name: str) -> float | None:
    """What scores without any sense would have."""
    if name in {"auroc", "auroc-hard"}:
        return 0.5
    return one.deaths / one.n if name == "auprc" and one.deaths is not None else None
