"""The ablation table as files: tables, rows, and a picture of bars with intervals."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evaluator.reporting.cells import one_line
from evaluator.reporting.documents import render_document
from evaluator.reporting.plots import METADATA, PLOT_FORMATS, style
from patientdx.capabilities import require_package
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
_SIZE = (1.6, 3.4)  # inches a pair, and in height


def ablation_suffix(path: Path | str) -> str:
    """What a file of an ablation is, by its suffix. Raises EvaluationError for another suffix."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in _SUFFIXES:
        raise EvaluationError(
            f"{path}: an ablation is written as .{', .'.join(_SUFFIXES)}", hint="--ablation t.md"
        )
    return suffix


def write_ablation(found: Ablation, notes: Mapping[str, str], paths: Sequence[Path | str]) -> None:
    """Writes an ablation to each path, atomically, as its suffix says.

    Raises EvaluationError for other suffixes and as `build_ablation`, ExtraMissingError for a
    picture without matplotlib.
    """
    suffixes = [ablation_suffix(path) for path in paths]
    document = build_ablation(found, notes)
    for path, suffix in zip(paths, suffixes, strict=True):
        if suffix in PLOT_FORMATS:
            plot_ablation(found, path)
            continue
        text = ablation_csv(found) if suffix == "csv" else render_document(document, TABLES[suffix])
        with atomic_writer(path) as stream:
            stream.write(text)


def ablation_csv(found: Ablation) -> str:
    """A header, then a row for each row and pair; figures in full."""
    out = io.StringIO()
    rows = ablation_rows(found)
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def plot_ablation(found: Ablation, path: Path | str) -> None:
    """Draws a bar for each row and pair: the metric held out, with its interval."""
    suffix = ablation_suffix(path)
    require_package("matplotlib", "report")
    with style(), atomic_writer(path, "wb") as out:
        _figure(found).savefig(out, format=suffix, metadata=METADATA[suffix])


def _figure(found: Ablation) -> "Figure":
    """Drawn without pyplot, which would keep the figure and ask for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = list(next(iter(found.values())))
    figure = Figure(figsize=(2.4 + _SIZE[0] * len(pairs), _SIZE[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _bars(axes, found)
    axes.set_xticks(range(len(pairs)), [one_line(pair) for pair in pairs], parse_math=False)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _bars(axes: "Axes", found: Ablation) -> None:
    width = 0.8 / len(found)
    for number, (row, of) in enumerate(found.items()):
        judged = [one.held_out for one in of.values()]
        at = [place + (number - (len(found) - 1) / 2) * width for place in range(len(judged))]
        values = [one.value for one in judged]
        ends = [one.interval or (one.value, one.value) for one in judged]
        # A percentile interval need not hold the figure: an end on its wrong side has length 0.
        low = [max(0.0, value - end[0]) for value, end in zip(values, ends, strict=True)]
        high = [max(0.0, end[1] - value) for value, end in zip(values, ends, strict=True)]
        axes.bar(
            at,
            values,
            0.92 * width,
            yerr=[low, high],
            capsize=2,
            error_kw={"linewidth": 0.9},
            color=_COLOURS[number % len(_COLOURS)],
            label=row,
        )
    metric = next(one.metric for of in found.values() for one in of.values())
    axes.set_ylabel(f"{metric}, held out", parse_math=False)
    if metric in {"auroc", "auroc-hard"}:
        axes.axhline(0.5, color=_CHANCE, linewidth=0.8, linestyle=(0, (2, 2)))
