"""Figures of an evaluation: ROC, precision-recall, calibration and decision curves."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.reporting.figures import open_figure, write_figure
from evaluator.reporting.text_table import one_line
from evaluator.statistics.calibration import calibration_curve
from evaluator.statistics.decision_curves import decision_curve
from evaluator.statistics.discrimination import precision_recall_curve, roc_curve
from patientdx.errors import EvaluationError
from patientdx.wording import count_noun

from .evaluation import MortalityResults
from .predictions import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, without yellow; further models differ by their dashes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#222222")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))
_REFERENCE: Mapping[str, Any] = MappingProxyType(
    {"color": "#999999", "linewidth": 0.8, "linestyle": (0, (2, 2))}
)


def plot_curves(results: MortalityResults, task: str, paths: Sequence[Path | str]) -> None:
    """Draws four panels with all models of a task; each suffix selects PNG or SVG.

    Raises ExtraMissingError without matplotlib, EvaluationError for another suffix and where all
    died or all lived.
    """
    if results.outcomes.one_class:
        raise EvaluationError("curves need stays that ended in death and stays that did not")
    write_figure(lambda: _draw_panels(results, task), paths)


def _draw_panels(results: MortalityResults, task: str) -> "Figure":
    figure = open_figure(8.4, 7.6)
    panels = (_roc, _precision_recall, _calibration, _decision)
    for draw_curve, axes in zip(panels, figure.subplots(2, 2).ravel(), strict=True):
        _draw_panel(draw_curve, axes, results, task)
    outcomes = results.outcomes
    figure.suptitle(
        f"{one_line(task)}: {count_noun(len(outcomes), 'stay')}, "
        f"{count_noun(outcomes.deaths, 'death')} (prevalence {outcomes.prevalence:.3f})",
        parse_math=False,
    )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may hold a $
    return figure


def _draw_panel(
    draw_curve: Callable[["Axes", MortalityResults, Prediction, dict[str, Any]], None],
    axes: "Axes",
    results: MortalityResults,
    task: str,
) -> None:
    for number, (name, prediction) in enumerate(results.tasks[task].items()):
        line = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _DASHES[number // len(_COLOURS) % len(_DASHES)],
            "linewidth": 1.4,
            "label": _label(results, task, name),
        }
        draw_curve(axes, results, prediction, line)


def _label(results: MortalityResults, task: str, name: str) -> str:
    values = results.metrics[task][name].values
    label = (
        f"{one_line(name)} (AUROC {values['auroc'].value:.3f}, AUPRC {values['auprc'].value:.3f})"
    )
    return label.lstrip("_")  # matplotlib hides labels that begin with an underscore


def _roc(
    axes: "Axes", results: MortalityResults, prediction: Prediction, line: dict[str, Any]
) -> None:
    curve = roc_curve(results.outcomes.died, prediction.log_odds)
    axes.plot(curve.x, curve.y, **line)
    axes.plot([0, 1], [0, 1], **_REFERENCE)
    axes.set(title="ROC", xlabel="false-positive rate", ylabel="true-positive rate")


def _precision_recall(
    axes: "Axes", results: MortalityResults, prediction: Prediction, line: dict[str, Any]
) -> None:
    curve = precision_recall_curve(results.outcomes.died, prediction.log_odds)
    axes.step(np.r_[0, curve.x], np.r_[curve.y[:1], curve.y], where="pre", **line)
    axes.axhline(results.outcomes.prevalence, **_REFERENCE)
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))


def _calibration(
    axes: "Axes", results: MortalityResults, prediction: Prediction, line: dict[str, Any]
) -> None:
    groups = calibration_curve(results.outcomes.died, prediction.probability)
    x, y = [group.predicted for group in groups], [group.observed for group in groups]
    low = [group.observed - group.interval.low for group in groups]
    high = [group.interval.high - group.observed for group in groups]
    axes.errorbar(x, y, yerr=np.clip([low, high], 0, None), marker="o", markersize=3,
                  elinewidth=0.7, **line)  # fmt: skip
    axes.plot([0, 1], [0, 1], **_REFERENCE)
    axes.set(title="Calibration", xlabel="mean probability of a tenth", ylabel="share that died")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _decision(
    axes: "Axes", results: MortalityResults, prediction: Prediction, line: dict[str, Any]
) -> None:
    curve = decision_curve(results.outcomes.died, prediction.probability)
    axes.plot(curve.thresholds, curve.model, **line)
    axes.plot(curve.thresholds, curve.everybody, **_REFERENCE)
    axes.axhline(0, **_REFERENCE)
    axes.set(title="Decision curve", xlabel="threshold", ylabel="net benefit")
    axes.set_ylim(-0.3 * results.outcomes.prevalence, 1.1 * results.outcomes.prevalence)
