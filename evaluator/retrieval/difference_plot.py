"""The plot of differences by query: each system against the baseline."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.reporting.figures import open_figure, wrap_title, write_figure
from patientdx.errors import EvaluationError

from .comparison import query_differences, resolve_baseline
from .evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008: distinguishable with every kind of colour vision.
_WIN, _LOSS, _MEAN = "#0072B2", "#D55E00", "#222222"
_COLUMNS = 2
_PANEL = (4.6, 3.1)  # inches
_LONGEST_LINE = 52


def plot_differences(
    evaluations: Mapping[str, Evaluation],
    measure: str,
    paths: Sequence[Path | str],
    *,
    baseline: str | None = None,
) -> None:
    """Draws the sorted differences by query, a panel for each system against the baseline.

    The baseline is the first system by default. Each path is written atomically, as PNG or SVG
    by its suffix; the same values and the same matplotlib version give the same bytes.

    Raises ExtraMissingError without matplotlib, and EvaluationError for another suffix, without a
    second system, and if the systems were not evaluated on the same queries.
    """
    name = resolve_baseline(evaluations, baseline)
    panels = {
        system: query_differences(evaluation, evaluations[name], measure)
        for system, evaluation in evaluations.items()
        if system != name
    }
    if not panels:
        raise EvaluationError("a plot of differences needs a second system")
    write_figure(lambda: _figure(panels, name, measure), paths)


def _figure(panels: Mapping[str, Mapping[str, float]], baseline: str, measure: str) -> "Figure":
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = open_figure(_PANEL[0] * columns, _PANEL[1] * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (system, differences) in zip(grid, panels.items(), strict=False):
        _draw_panel(axes, np.sort(list(differences.values()))[::-1])
        _label_panel(axes, f"{system} against {baseline}", list(differences.values()))
    for axes in grid[::columns]:
        axes.set_ylabel(f"difference in {measure}", parse_math=False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    limit = 1.08 * max(abs(value) for panel in panels.values() for value in panel.values())
    grid[0].set_ylim(-(limit or 1.0), limit or 1.0)
    return figure


def _draw_panel(axes: "Axes", differences: Any) -> None:
    """Steps rather than bars: a single shape for any number of queries."""
    edges = np.arange(differences.size + 1) + 0.5
    wins, losses = np.count_nonzero(differences > 0), np.count_nonzero(differences < 0)
    axes.stairs(differences[:wins], edges[: wins + 1], fill=True, color=_WIN)
    first = differences.size - losses
    axes.stairs(differences[first:], edges[first:], fill=True, color=_LOSS)
    axes.axhline(0, color=_MEAN, linewidth=0.8)
    axes.axhline(differences.mean(), color=_MEAN, linewidth=1, linestyle=(0, (5, 3)))
    axes.set_xlim(edges[0], edges[-1])


def _label_panel(axes: "Axes", pair: str, differences: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    n, wins = len(differences), sum(value > 0 for value in differences)
    losses = sum(value < 0 for value in differences)
    title = (
        f"{wrap_title(pair, _LONGEST_LINE)}\n"
        f"n = {n:,}: wins {wins:,}, ties {n - wins - losses:,}, losses {losses:,}"
    )
    axes.set_title(title, loc="left", parse_math=False)  # a name may hold a $
    axes.set_xlabel("queries, sorted by difference")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    mean = math.fsum(differences) / n
    axes.annotate(
        f"mean {mean:+.4f}".replace("-", "\N{MINUS SIGN}"),
        (1, max(mean, 0)),  # where the losses are not
        xycoords=("axes fraction", "data"),
        xytext=(-3, 5),
        textcoords="offset points",
        horizontalalignment="right",
        color=_MEAN,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0},
    )
