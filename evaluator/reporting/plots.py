"""Figures: how each query fares under a system, against the baseline."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.retrieval.comparison import baseline_of, query_differences
from evaluator.retrieval.evaluation import Evaluation
from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError
from patientdx.formats import atomic_writer

from .cells import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_FORMATS = ("png", "svg")

# Two colours of Okabe & Ito 2008 that every kind of colour vision tells apart.
_WIN, _LOSS, _MEAN = "#0072B2", "#D55E00", "#222222"
_COLUMNS = 2
_PANEL = (4.6, 3.1)  # inches
_LONGEST_LINE = 52

_STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.constrained_layout.h_pad": 0.1,
        "savefig.dpi": 160,
        "svg.fonttype": "none",  # text stays text: small, searchable, editable
        "svg.hashsalt": "patientdx",  # the same figure gets the same ids
    }
)

# Without a date and a version the same figure gives the same bytes.
METADATA: Mapping[str, dict[str, None]] = MappingProxyType(
    {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
)


def plot_differences(
    evaluations: Mapping[str, Evaluation],
    measure: str,
    paths: Sequence[Path | str],
    *,
    baseline: str | None = None,
) -> None:
    """Draws the sorted differences by query, a panel for each system against the baseline.

    The baseline is the first system, if none is named. Each path is written atomically, as PNG
    or SVG by its suffix; the same figures and the same matplotlib give the same bytes.

    Raises ExtraMissingError without matplotlib, and EvaluationError for another suffix, where
    there is no other system, and where the systems were not judged on the same queries.
    """
    formats = [format_of(path) for path in paths]
    name = baseline_of(evaluations, baseline)
    panels = {
        system: query_differences(evaluation, evaluations[name], measure)
        for system, evaluation in evaluations.items()
        if system != name
    }
    if not panels:
        raise EvaluationError("a plot of differences needs a second system")
    require_package("matplotlib", "report")
    with style():
        figure = _figure(panels, name, measure)
        for path, form in zip(paths, formats, strict=True):
            with atomic_writer(path, "wb") as out:
                figure.savefig(out, format=form, metadata=METADATA[form])


def format_of(path: Path | str) -> str:
    """The format that a suffix names, one of `PLOT_FORMATS`. Raises EvaluationError."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PLOT_FORMATS:
        raise EvaluationError(
            f"{path}: plots are written as {' or '.join(PLOT_FORMATS)}",
            hint="give the file a name such as differences.png",
        )
    return suffix


@contextmanager
def style() -> Iterator[None]:
    """Our settings on matplotlib's defaults, whatever the user's own are; theirs come back."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        parameters: Any = mpl.rcParams  # its type lists every key of one version
        parameters.update(_STYLE)
        yield


def _figure(panels: Mapping[str, Mapping[str, float]], baseline: str, measure: str) -> "Figure":
    """Drawn without pyplot, which would keep the figure and ask for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (system, differences) in zip(grid, panels.items(), strict=False):
        _panel(axes, np.sort(list(differences.values()))[::-1])
        _label(axes, f"{system} against {baseline}", list(differences.values()))
    for axes in grid[::columns]:
        axes.set_ylabel(f"difference in {measure}", parse_math=False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    limit = 1.08 * max(abs(value) for panel in panels.values() for value in panel.values())
    grid[0].set_ylim(-(limit or 1.0), limit or 1.0)
    return figure


def _panel(axes: "Axes", differences: Any) -> None:
    """Steps rather than bars: one shape however many queries there are."""
    edges = np.arange(differences.size + 1) + 0.5
    wins, losses = np.count_nonzero(differences > 0), np.count_nonzero(differences < 0)
    axes.stairs(differences[:wins], edges[: wins + 1], fill=True, color=_WIN)
    first = differences.size - losses
    axes.stairs(differences[first:], edges[first:], fill=True, color=_LOSS)
    axes.axhline(0, color=_MEAN, linewidth=0.8)
    axes.axhline(differences.mean(), color=_MEAN, linewidth=1, linestyle=(0, (5, 3)))
    axes.set_xlim(edges[0], edges[-1])


def _label(axes: "Axes", pair: str, differences: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    n, wins = len(differences), sum(value > 0 for value in differences)
    losses = sum(value < 0 for value in differences)
    title = (
        f"{textwrap.fill(one_line(pair), _LONGEST_LINE)}\n"
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
