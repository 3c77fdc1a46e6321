"""A table as cells of plain text: the figures of each system, and below them the comparisons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.retrieval.comparison import Comparison
from evaluator.retrieval.tables import Extra, Figure, Table


@dataclass(frozen=True)
class Grid:
    """Lines of cells, the header first; the first `words` columns hold words, the others figures.

    Every line has the same number of cells, none of which holds a line break.
    """

    lines: tuple[tuple[str, ...], ...]
    words: int


def grids(table: Table) -> list[Grid]:
    """The grid of figures, and that of comparisons where there are some."""
    found = [_figures(table)]
    if table.comparisons:
        found.append(_comparisons(table.comparisons))
    return found


def notes(table: Table) -> list[str]:
    """The notes, one line each."""
    return [one_line(f"{name}: {note}") for name, note in table.notes.items()]


def one_line(text: str) -> str:
    """The text without line breaks and control characters, which would break a row."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def is_empty(cell: Extra) -> bool:
    """Whether a cell has nothing to say: None, or a number that is not finite."""
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _figures(table: Table) -> Grid:
    extra = table.extra_columns
    sets = any(row.dataset for row in table.rows)
    header = [*(["set"] if sets else []), "system", "n", *table.measures, *extra]
    rows = [
        [
            *([row.dataset] if sets else []),
            row.system,
            str(row.n),
            *(_shown(row.figures[name]) for name in table.measures),
            *(_shown_extra(row.extra.get(name)) for name in extra),
        ]
        for row in table.rows
    ]
    return _grid([header, *rows], words=2 if sets else 1)


def _comparisons(comparisons: Sequence[Comparison]) -> Grid:
    """One line a comparison; the set has a column where comparisons name one."""
    sets = any(one.dataset for one in comparisons)
    holm = any(one.family is not None for one in comparisons)
    header = [
        "measure",
        *(["set"] if sets else []),
        "system",
        "n",
        f"difference to {comparisons[0].baseline}",
        "p (randomisation, Holm)" if holm else "p (randomisation)",
        "p (t, Holm)" if holm else "p (t)",
        "wins/ties/losses",
    ]
    rows = [_compared(one, sets=sets, holm=holm) for one in comparisons]
    return _grid([header, *rows], words=3 if sets else 2)


def _compared(one: Comparison, *, sets: bool, holm: bool) -> list[str]:
    low, high = one.interval
    return [
        one.measure,
        *([one.dataset] if sets else []),
        one.system,
        str(one.n),
        f"{one.difference:+.4f} [{low:+.4f}, {high:+.4f}]",
        _shown_p(one.holm_randomisation if holm else one.p_randomisation),
        _shown_p(one.holm_t if holm else one.p_t),
        f"{one.wins}/{one.ties}/{one.losses}",
    ]


def _grid(lines: Sequence[Sequence[str]], words: int) -> Grid:
    return Grid(tuple(tuple(one_line(cell) for cell in cells) for cells in lines), words)


def _shown(figure: Figure) -> str:
    low, high = figure.interval
    return f"{figure.value:.4f} [{low:.4f}, {high:.4f}]"


def _shown_extra(cell: Extra) -> str:
    if is_empty(cell):
        return "-"
    # Significant digits, not decimals: a p-value of 0.00002 is not 0.0000.
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _shown_p(p: float | None) -> str:
    return "-" if p is None or math.isnan(p) else f"{p:.3g}"
