"""The ablation table: the full merge, and it without Math, without SLERP, without both."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from evaluator.reporting.documents import Document, DocumentPart
from evaluator.reporting.text_table import TextTable
from evaluator.selection.estimates import Estimate
from evaluator.selection.nested_selection import Selection
from patientdx.errors import EvaluationError

from .estimate_format import format_estimate
from .report import selection_data

FULL = "full"
ABLATION_ROWS = (FULL, "without Math", "without SLERP", "without both")
"""Rows as in the paper; λ is chosen again for each."""

PAPER: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "PatientDx 7B": (0.6057, 0.5698, 0.5034, 0.5023),
        "PatientDx 8B": (0.6338, 0.4996, 0.5765, 0.4993),
        "PatientBioDx 8B": (0.6101, 0.5229, 0.5035, 0.5272),
    }
)
"""The paper's AUROCs of yes/no answers, in the order of `ABLATION_ROWS`. Its printed labels are
shifted by one row; this reading is *inferred* from the mean drops in its prose."""

Ablation = Mapping[str, Mapping[str, Selection]]
"""Row -> pair -> selection; every row has the same pairs."""


def build_ablation(ablation: Ablation, notes: Mapping[str, str]) -> Document:
    """The tables of held-out and apparent metrics, with the change relative to the full merge.

    Raises EvaluationError without a full merge, and for rows with different pairs.
    """
    pairs = tuple(ablation.get(FULL, {}))
    if not pairs or any(tuple(row) != pairs for row in ablation.values()):
        raise EvaluationError("an ablation needs the full merge, and the same pairs in all rows")
    metrics = {selection.metric for row in ablation.values() for selection in row.values()}
    if len(metrics) != 1:
        raise EvaluationError("an ablation needs one metric")
    metric = metrics.pop()
    parts = (
        DocumentPart(
            f"Ablation: {metric} held out",
            _ablation_table(ablation, pairs, held_out=True),
            "λ is chosen anew for each row, on each fold's complement; change: relative to full.",
        ),
        DocumentPart(
            f"Ablation: {metric} apparent",
            _ablation_table(ablation, pairs, held_out=False),
            "As the paper has it: λ chosen and judged on the same patients.",
        ),
        DocumentPart(
            "The paper's figures",
            _paper_table(),
            "AUROC of yes/no answers; rows as inferred: the printed labels are shifted by one.",
        ),
    )
    data = {
        "rows": {
            row: {pair: selection_data(selection) for pair, selection in selections.items()}
            for row, selections in ablation.items()
        },
        "changes": {
            row: {pair: relative_change(ablation, row, pair, held_out=True) for pair in pairs}
            for row in ablation
        },
    }
    return Document("Ablation of the merge", parts, notes, "", data)


def relative_change(ablation: Ablation, row: str, pair: str, *, held_out: bool) -> float:
    """The relative change of a row against the full merge; -0.1 is a tenth less."""
    full, changed = (
        _estimate(ablation[name][pair], held_out=held_out).value for name in (FULL, row)
    )
    return changed / full - 1


def ablation_rows(ablation: Ablation) -> list[dict[str, Any]]:
    """One record per row and pair, for a data file."""
    return [
        {
            "row": row,
            "pair": pair,
            "metric": selection.metric,
            "lambda": str(selection.chosen),
            "apparent": selection.apparent.value,
            "held_out": selection.held_out.value,
            "low": selection.held_out.interval.low if selection.held_out.interval else None,
            "high": selection.held_out.interval.high if selection.held_out.interval else None,
            "change": relative_change(ablation, row, pair, held_out=True),
        }
        for row, selections in ablation.items()
        for pair, selection in selections.items()
    ]


def _estimate(selection: Selection, *, held_out: bool) -> Estimate:
    return selection.held_out if held_out else selection.apparent


def _ablation_table(ablation: Ablation, pairs: Sequence[str], *, held_out: bool) -> TextTable:
    header = ["row", *(cell for pair in pairs for cell in (pair, "λ", "change")), "mean change"]
    rows = []
    for row, selections in ablation.items():
        cells: list[str] = []
        changes = [relative_change(ablation, row, pair, held_out=held_out) for pair in pairs]
        for pair, change in zip(pairs, changes, strict=True):
            selection = selections[pair]
            folds = " / ".join(str(fold.chosen) for fold in selection.folds)
            cells += [
                format_estimate(_estimate(selection, held_out=held_out)),
                folds if held_out else str(selection.chosen),
                _percent(row, change),
            ]
        rows.append([row, *cells, _percent(row, sum(changes) / len(changes))])
    return TextTable.build(header, rows)


def _paper_table() -> TextTable:
    header = ["row", *(cell for pair in PAPER for cell in (pair, "change")), "mean change"]
    rows = []
    for index, row in enumerate(ABLATION_ROWS):
        changes = [values[index] / values[0] - 1 for values in PAPER.values()]
        cells = [
            cell
            for values, change in zip(PAPER.values(), changes, strict=True)
            for cell in (f"{values[index]:.4f}", _percent(row, change))
        ]
        rows.append([row, *cells, _percent(row, sum(changes) / len(changes))])
    return TextTable.build(header, rows)


def _percent(row: str, change: float) -> str:
    return "-" if row == FULL else f"{change:+.1%}"
