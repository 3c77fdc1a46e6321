"""The ablation table: the full merge, and it without Math, without SLERP, without both."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from evaluator.reporting.cells import Grid
from evaluator.reporting.documents import Document, Part
from evaluator.selection.judging import Judged
from evaluator.selection.selection import Selection
from patientdx.errors import EvaluationError

from .report import grid, selection_data, shown

FULL = "full"
ROWS = (FULL, "without Math", "without SLERP", "without both")
"""Rows as in the paper; λ is chosen anew for each."""

PAPER: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "PatientDx 7B": (0.6057, 0.5698, 0.5034, 0.5023),
        "PatientDx 8B": (0.6338, 0.4996, 0.5765, 0.4993),
        "PatientBioDx 8B": (0.6101, 0.5229, 0.5035, 0.5272),
    }
)
"""The paper's AUROCs of hard answers, in the order of `ROWS`. Its printed labels are shifted by
one row; this reading is *inferred* from the mean drops in its prose."""

Ablation = Mapping[str, Mapping[str, Selection]]
"""Row -> pair -> selection; every row has the same pairs."""


def build_ablation(found: Ablation, notes: Mapping[str, str]) -> Document:
    """The table of held-out and apparent metrics, with the change relative to the full merge.

    Raises EvaluationError where there is no full merge, and for rows of other pairs.
    """
    pairs = tuple(found.get(FULL, {}))
    if not pairs or any(tuple(row) != pairs for row in found.values()):
        raise EvaluationError("an ablation needs the full merge, and the same pairs in all rows")
    metrics = {one.metric for row in found.values() for one in row.values()}
    if len(metrics) != 1:
        raise EvaluationError("an ablation needs one metric")
    metric = metrics.pop()
    parts = (
        Part(
            f"Ablation: {metric} held out",
            _grid(found, pairs, honest=True),
            "λ is chosen anew for each row, on each fold's complement; change: relative to full.",
        ),
        Part(
            f"Ablation: {metric} apparent",
            _grid(found, pairs, honest=False),
            "As the paper has it: λ chosen and judged on the same patients.",
        ),
        Part(
            "The paper's figures",
            _paper(),
            "AUROC of yes/no answers; rows as inferred: the printed labels are shifted by one.",
        ),
    )
    data = {
        "rows": {
            row: {pair: selection_data(one) for pair, one in of.items()}
            for row, of in found.items()
        },
        "changes": {
            row: {pair: change(found, row, pair, honest=True) for pair in pairs} for row in found
        },
    }
    return Document("Ablation of the merge", parts, notes, "", data)


def change(found: Ablation, row: str, pair: str, *, honest: bool) -> float:
    """The relative change of a row against the full merge; -0.1 is a tenth less."""
    full, other = (_judged(found[name][pair], honest=honest).value for name in (FULL, row))
    return other / full - 1


def ablation_rows(found: Ablation) -> list[dict[str, Any]]:
    """A row for each row and pair, for a data file."""
    return [
        {
            "row": row,
            "pair": pair,
            "metric": one.metric,
            "lambda": str(one.chosen),
            "apparent": one.apparent.value,
            "held_out": one.held_out.value,
            "low": one.held_out.interval.low if one.held_out.interval else None,
            "high": one.held_out.interval.high if one.held_out.interval else None,
            "change": change(found, row, pair, honest=True),
        }
        for row, of in found.items()
        for pair, one in of.items()
    ]


def _judged(one: Selection, *, honest: bool) -> Judged:
    return one.held_out if honest else one.apparent


def _grid(found: Ablation, pairs: Sequence[str], *, honest: bool) -> Grid:
    header = ["row", *(cell for pair in pairs for cell in (pair, "λ", "change")), "mean change"]
    rows = []
    for row, of in found.items():
        cells: list[str] = []
        changes = [change(found, row, pair, honest=honest) for pair in pairs]
        for pair, moved in zip(pairs, changes, strict=True):
            one = of[pair]
            chosen = " / ".join(str(f.chosen) for f in one.folds) if honest else str(one.chosen)
            cells += [shown(_judged(one, honest=honest)), chosen, _percent(row, moved)]
        rows.append([row, *cells, _percent(row, sum(changes) / len(changes))])
    return grid(header, rows)


def _paper() -> Grid:
    header = ["row", *(cell for pair in PAPER for cell in (pair, "change")), "mean change"]
    rows = []
    for at, row in enumerate(ROWS):
        moved = [values[at] / values[0] - 1 for values in PAPER.values()]
        cells = [
            cell
            for values, one in zip(PAPER.values(), moved, strict=True)
            for cell in (f"{values[at]:.4f}", _percent(row, one))
        ]
        rows.append([row, *cells, _percent(row, sum(moved) / len(moved))])
    return grid(header, rows)


def _percent(row: str, moved: float) -> str:
    return "-" if row == FULL else f"{moved:+.1%}"
