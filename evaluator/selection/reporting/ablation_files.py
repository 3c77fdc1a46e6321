"""The ablation as files: tables, CSV, and a bar chart with intervals."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evaluator.reporting.figures import PLOT_FORMATS, open_figure, write_figure
from evaluator.reporting.rendering import render_document
from evaluator.reporting.text_table import one_line
from patientdx.errors import EvaluationError
from patientdx.formats import atomic_writer

from .ablation import Ablation, ablation_rows, build_ablation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLES: Mapping[str, str] = MappingProxyType(
    {"txt": "text", "md": "markdown", "tex": "latex", "json": "json"}
)
"""Suffix -> format of a table."""

_SUFFIXES = (*TABLES, "csv", *PLOT_FORMATS)
# Okabe & Ito 2008.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#999999")
_CHANCE = "#222222"
_SIZE = (1.6, 3.4)  # inches: width per pair, height


def ablation_suffix(path: Path | str) -> str:
    """The suffix of an ablation file, without the dot. Raises EvaluationError for others."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in _SUFFIXES:
        raise EvaluationError(
            f"{path}: an ablation is written as .{', .'.join(_SUFFIXES)}", hint="--ablation t.md"
        )
    return suffix


def write_ablation(
    ablation: Ablation, notes: Mapping[str, str], paths: Sequence[Path | str]
) -> None:
    """Writes an ablation to each path, atomically, in the format of its suffix.

    Raises EvaluationError for other suffixes and as `build_ablation`, ExtraMissingError for a
    plot without matplotlib.
    """
    suffixes = [ablation_suffix(path) for path in paths]
    document = build_ablation(ablation, notes)
    for path, suffix in zip(paths, suffixes, strict=True):
        if suffix in PLOT_FORMATS:
            plot_ablation(ablation, path)
            continue
        text = (
            ablation_csv(ablation) if suffix == "csv" else render_document(document, TABLES[suffix])
        )
        with atomic_writer(path) as stream:
            stream.write(text)


def ablation_csv(ablation: Ablation) -> str:
    """A header, then one line per row and pair, with all digits."""
    out = io.StringIO()
    rows = ablation_rows(ablation)
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def plot_ablation(ablation: Ablation, path: Path | str) -> None:
    """Draws a bar for each row and pair: the held-out metric with its interval."""
    write_figure(lambda: _figure(ablation), [path])


def _figure(ablation: Ablation) -> "Figure":
    pairs = list(next(iter(ablation.values())))
    figure = open_figure(2.4 + _SIZE[0] * len(pairs), _SIZE[1])
    axes = figure.subplots()
    _bars(axes, ablation)
    axes.set_xticks(range(len(pairs)), [one_line(pair) for pair in pairs], parse_math=False)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _bars(axes: "Axes", ablation: Ablation) -> None:
    width = 0.8 / len(ablation)
    for number, (row, selections) in enumerate(ablation.items()):
        estimates = [selection.held_out for selection in selections.values()]
        offset = (number - (len(ablation) - 1) / 2) * width
        positions = [pair + offset for pair in range(len(estimates))]
        values = [estimate.value for estimate in estimates]
        ends = [estimate.interval or (estimate.value, estimate.value) for estimate in estimates]
        # A percentile interval may not contain the value: an error bar is never negative.
        low = [max(0.0, value - end[0]) for value, end in zip(values, ends, strict=True)]
        high = [max(0.0, end[1] - value) for value, end in zip(values, ends, strict=True)]
        axes.bar(
            positions,
            values,
            0.92 * width,
            yerr=[low, high],
            capsize=2,
            error_kw={"linewidth": 0.9},
            color=_COLOURS[number % len(_COLOURS)],
            label=row,
        )
    metric = next(selection.metric for row in ablation.values() for selection in row.values())
    axes.set_ylabel(f"{metric}, held out", parse_math=False)
    if metric in {"auroc", "auroc-hard"}:
        axes.axhline(0.5, color=_CHANCE, linewidth=0.8, linestyle=(0, (2, 2)))
