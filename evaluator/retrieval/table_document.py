"""A table of systems as a document: the measures of each system, then the comparisons."""

import math
from collections.abc import Sequence

from evaluator.reporting.documents import Document, DocumentPart
from evaluator.reporting.rendering import render_document
from evaluator.reporting.text_table import TextTable

from .comparison import Comparison
from .tables import Extra, MeanEstimate, ReportRow, Table


def render_table(table: Table, format_name: str) -> str:
    """The table in one of the formats of reports. Raises EvaluationError for another format."""
    return render_document(build_table_document(table), format_name)


def build_table_document(table: Table) -> Document:
    """The table as a document, with all digits in its data."""
    comparisons = (_comparisons_table(table.comparisons),) if table.comparisons else ()
    data = {
        "measures": list(table.measures),
        "rows": [_row_data(row, table.measures) for row in table.rows],
        "comparisons": [_comparison_data(comparison) for comparison in table.comparisons],
    }
    part = DocumentPart("", _systems_table(table), more_tables=comparisons)
    return Document("", (part,), table.notes, table.method, data)


def _systems_table(table: Table) -> TextTable:
    """One line per system; the set has a column if rows name one."""
    extra = table.extra_columns
    has_sets = any(row.dataset for row in table.rows)
    header = [*(["set"] if has_sets else []), "system", "n", *table.measures, *extra]
    rows = [
        [
            *([row.dataset] if has_sets else []),
            row.system,
            str(row.n),
            *(_format_estimate(row.estimates[name]) for name in table.measures),
            *(_format_extra(row.extra.get(name)) for name in extra),
        ]
        for row in table.rows
    ]
    return TextTable.build(header, rows, words=2 if has_sets else 1)


def _comparisons_table(comparisons: Sequence[Comparison]) -> TextTable:
    """One line per comparison; the set has a column if comparisons name one."""
    has_sets = any(comparison.dataset for comparison in comparisons)
    corrected = any(comparison.family is not None for comparison in comparisons)
    header = [
        "measure",
        *(["set"] if has_sets else []),
        "system",
        "n",
        f"difference to {comparisons[0].baseline}",
        "p (randomisation, Holm)" if corrected else "p (randomisation)",
        "p (t, Holm)" if corrected else "p (t)",
        "wins/ties/losses",
    ]
    rows = [
        _comparison_cells(comparison, has_sets=has_sets, corrected=corrected)
        for comparison in comparisons
    ]
    return TextTable.build(header, rows, words=3 if has_sets else 2)


def _comparison_cells(comparison: Comparison, *, has_sets: bool, corrected: bool) -> list[str]:
    low, high = comparison.interval
    return [
        comparison.measure,
        *([comparison.dataset] if has_sets else []),
        comparison.system,
        str(comparison.n),
        f"{comparison.difference:+.4f} [{low:+.4f}, {high:+.4f}]",
        _format_p(comparison.holm_randomisation if corrected else comparison.p_randomisation),
        _format_p(comparison.holm_t if corrected else comparison.p_t),
        f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
    ]


def _format_estimate(estimate: MeanEstimate) -> str:
    low, high = estimate.interval
    return f"{estimate.value:.4f} [{low:.4f}, {high:.4f}]"


def _format_extra(cell: Extra) -> str:
    if _is_empty(cell):
        return "-"
    # Significant digits, not decimals: a p-value of 0.00002 is not 0.0000.
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _format_p(p: float | None) -> str:
    return "-" if p is None or math.isnan(p) else f"{p:.3g}"


def _is_empty(cell: Extra) -> bool:
    """Whether a cell has no content: None, or a number that is not finite."""
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _row_data(row: ReportRow, measures: tuple[str, ...]) -> dict[str, object]:
    """A row for JSON: every measure with its own n, low and high."""
    figures = {
        name: {
            "value": row.estimates[name].value,
            "low": row.estimates[name].interval.low,
            "high": row.estimates[name].interval.high,
            "n": row.n,
        }
        for name in measures
    }
    extra = {name: None if _is_empty(cell) else cell for name, cell in row.extra.items()}
    data = {"system": row.system, "n": row.n, "figures": figures, "extra": extra}
    return _set_data(row.dataset) | data


def _comparison_data(comparison: Comparison) -> dict[str, object]:
    """A comparison for JSON, with its tests."""
    low, high = comparison.interval
    student = {"t": comparison.t, "p": comparison.p_t, "holm": comparison.holm_t}
    return _set_data(comparison.dataset) | {
        "system": comparison.system,
        "baseline": comparison.baseline,
        "measure": comparison.measure,
        "n": comparison.n,
        "difference": {"value": comparison.difference, "low": low, "high": high},
        "wins": comparison.wins,
        "ties": comparison.ties,
        "losses": comparison.losses,
        "randomisation": {
            "p": comparison.p_randomisation,
            "holm": comparison.holm_randomisation,
            "exact": comparison.exact,
        },
        "t_test": {name: None if _is_empty(value) else value for name, value in student.items()},
        "family": comparison.family,
    }


def _set_data(dataset: str) -> dict[str, object]:
    return {"set": dataset} if dataset else {}
