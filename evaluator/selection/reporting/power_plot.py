"""Power over the number of patients, as a figure: a panel for each pair."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.reporting.figures import open_figure, wrap_title, write_figure
from evaluator.selection.evidence.power import ChoicePower, choice_power
from evaluator.selection.nested_selection import Selection
from evaluator.statistics.power import TARGET_POWER, PairedPower
from patientdx.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008.
_LINES = (
    (2.0, "twice it", "#009E73", (0, (1, 1.5))),
    (1.0, "difference seen", "#0072B2", "solid"),
    (0.5, "half of it", "#D55E00", (0, (5, 2))),
)
_GUIDE = "#777777"
_PANEL = (5.2, 3.5)  # inches
_POINTS = 200


def plot_power(selections: Mapping[str, Selection], paths: Sequence[Path | str]) -> None:
    """Draws the power of each pair over the number of patients, as PNG or SVG by the suffix.

    Raises ExtraMissingError without matplotlib, EvaluationError for another suffix and where no
    pair has a power (`choice_power`).
    """
    powers = {pair: choice_power(selection) for pair, selection in selections.items()}
    known = {pair: power for pair, power in powers.items() if power is not None}
    if not known:
        raise EvaluationError(
            "no power is drawn: the choices do not differ from the merge that needs no search, or "
            "the folds are too small for the difference to vary"
        )
    write_figure(lambda: _figure(known, selections), paths)


def _figure(powers: Mapping[str, ChoicePower], selections: Mapping[str, Selection]) -> "Figure":
    figure = open_figure(_PANEL[0] * len(powers), _PANEL[1])
    panels = figure.subplots(1, len(powers), squeeze=False)[0]
    for axes, (pair, power) in zip(panels, powers.items(), strict=True):
        _draw_panel(axes, power, selections[pair])
        title = f"{wrap_title(pair)}\nchoice against λ = {power.baseline}"
        axes.set_title(title, loc="left", parse_math=False)
    return figure


def _draw_panel(axes: "Axes", power: ChoicePower, selection: Selection) -> None:
    curve = power.curve(_POINTS)
    numbers = [point.n for point in curve]
    paired = power.paired
    for factor, name, colour, style in _LINES:
        difference = factor * paired.difference
        scaled = PairedPower(difference, paired.spread, paired.level)
        label = f"{name}: {difference:+,.3g}"
        values = [scaled.at(n) for n in numbers]
        axes.plot(numbers, values, color=colour, linestyle=style, linewidth=1.5, label=label)
    axes.axhline(TARGET_POWER, color=_GUIDE, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.axvline(power.n, color=_GUIDE, linewidth=0.8)
    _note(axes, f"{power.n:,} here", power.n, 0.99, side="right")
    if power.needed is not None:
        axes.plot([power.needed], [TARGET_POWER], color=_LINES[1][2], marker="o", markersize=5)
        _note(axes, f"{power.needed:,}", power.needed, TARGET_POWER - 0.02)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"number of {selection.unit}")
    axes.set_ylabel(f"power ({selection.metric}, two-sided {1 - paired.level:.2g})")
    # Below the axes, where no curve runs through it.
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=3,
        frameon=False,
        fontsize=8,
        columnspacing=1.2,
        handlelength=1.8,
    )


def _note(axes: "Axes", text: str, n: int, height: float, side: str = "left") -> None:
    """A text beside a point that lies at its `side`."""
    axes.annotate(
        text,
        (n, height),
        xytext=(4 if side == "left" else -4, 0),
        textcoords="offset points",
        horizontalalignment=side,
        verticalalignment="top",
        fontsize=8,
        color="#333333",
    )
