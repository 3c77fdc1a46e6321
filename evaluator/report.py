"""Tables of figures: one model, written as text, Markdown, LaTeX or JSON, and a CSV by query."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from patientdx.errors import EvaluationError

from .retrieval import Evaluation
from .statistics import Interval, bootstrap_interval

CAPTION = "For research use; not a medical device."

Extra = str | float | None
"""A cell beside the figures, such as a p-value; None where there is nothing to say."""


@dataclass(frozen=True)
class Figure:
    """A mean over queries and its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class ReportRow:
    """A system, the number of queries it was judged on, and its figure for each measure.

    `extra` holds further cells by column name, such as the difference to the first system.
    """

    system: str
    n: int
    figures: Mapping[str, Figure]
    extra: Mapping[str, Extra] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Systems compared on the same measures.

    `notes` say what was measured (corpus, split, settings), `method` how the intervals were.
    """

    measures: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    notes: Mapping[str, str]
    method: str

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the further columns of all rows, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.extra))


def report_row(
    system: str,
    evaluation: Evaluation,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> ReportRow:
    """The means of a system with their bootstrap intervals. Raises EvaluationError."""
    figures = {}
    for measure in evaluation.measures:
        values = evaluation.values(measure)
        interval = bootstrap_interval(values, level=level, resamples=resamples, seed=seed)
        figures[measure] = Figure(evaluation.mean(measure), interval)
    return ReportRow(system, len(evaluation.per_query), figures)


def build_table(
    evaluations: Mapping[str, Evaluation],
    notes: Mapping[str, str],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Table:
    """A row for each system, in the order given.

    Raises EvaluationError for no system, and for systems with different measures.
    """
    found = {evaluation.measures for evaluation in evaluations.values()}
    if len(found) != 1:
        raise EvaluationError("a table needs one system or more, all with the same measures")
    rows = [
        report_row(system, evaluation, level=level, resamples=resamples, seed=seed)
        for system, evaluation in evaluations.items()
    ]
    method = (
        f"[low, high]: {level * 100:g}% interval of the mean over n queries, percentile bootstrap,"
        f" {resamples:,} resamples, seed {seed}."
    )
    return Table(found.pop(), tuple(rows), dict(notes), method)


def render(table: Table, format_name: str) -> str:
    """The table in one of `FORMATS`, ending in a newline. Raises EvaluationError for another."""
    if format_name not in FORMATS:
        raise EvaluationError(
            f"`{format_name}` is not a format of tables",
            hint=f"formats are {', '.join(FORMATS)}",
        )
    return FORMATS[format_name](table)


def per_query_csv(evaluations: Mapping[str, Evaluation]) -> str:
    """Every value of every system: a header, then `system,query_id,measure,value` rows.

    Values are written in the shortest form that reads back as the same number.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("system", "query_id", "measure", "value"))
    for system, evaluation in evaluations.items():
        for query_id, values in evaluation.per_query.items():
            writer.writerows(
                (system, query_id, measure, values[measure]) for measure in evaluation.measures
            )
    return out.getvalue()


def _text(table: Table) -> str:
    lines = _grid(table)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])
        for cells in lines
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    body = [aligned[0].rstrip(), rule, *(line.rstrip() for line in aligned[1:])]
    notes = _notes(table)
    return _joined([*notes, *([""] if notes else []), *body, "", table.method, CAPTION])


def _markdown(table: Table) -> str:
    lines = [[_escaped(cell, _MARKDOWN) for cell in cells] for cells in _grid(table)]
    columns = len(lines[0]) - 1
    ruled = [lines[0], [":--"] + ["--:"] * columns, *lines[1:]]
    notes = [f"- {_escaped(note, _MARKDOWN)}" for note in _notes(table)]
    body = ["| " + " | ".join(cells) + " |" for cells in ruled]
    method = _escaped(table.method, _MARKDOWN)
    return _joined([*notes, *([""] if notes else []), *body, "", method, "", CAPTION])


def _latex(table: Table) -> str:
    """A table that needs the package booktabs."""
    lines = [
        " & ".join(_escaped(cell, _LATEX) for cell in cells) + r" \\" for cells in _grid(table)
    ]
    notes = [f"{_escaped(note, _LATEX)}." for note in _notes(table)]
    caption = " ".join([*notes, _escaped(table.method, _LATEX), CAPTION])
    columns = "l" + "r" * (1 + len(table.measures) + len(table.extra_columns))
    return _joined(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _json(table: Table) -> str:
    """All digits; every figure with its own n, low and high."""
    content = {
        "notes": dict(table.notes),
        "method": table.method,
        "caption": CAPTION,
        "measures": list(table.measures),
        "rows": [_json_row(row, table.measures) for row in table.rows],
    }
    return _joined([json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)])


def _json_row(row: ReportRow, measures: tuple[str, ...]) -> dict[str, object]:
    figures = {
        name: {
            "value": row.figures[name].value,
            "low": row.figures[name].interval.low,
            "high": row.figures[name].interval.high,
            "n": row.n,
        }
        for name in measures
    }
    extra = {name: None if _is_empty(cell) else cell for name, cell in row.extra.items()}
    return {"system": row.system, "n": row.n, "figures": figures, "extra": extra}


def _grid(table: Table) -> list[list[str]]:
    """Header and rows as cells of plain text."""
    extra = table.extra_columns
    header = ["system", "n", *table.measures, *extra]
    rows = [
        [
            row.system,
            str(row.n),
            *(_shown(row.figures[name]) for name in table.measures),
            *(_shown_extra(row.extra.get(name)) for name in extra),
        ]
        for row in table.rows
    ]
    return [[_one_line(cell) for cell in cells] for cells in [header, *rows]]


def _shown(figure: Figure) -> str:
    low, high = figure.interval
    return f"{figure.value:.4f} [{low:.4f}, {high:.4f}]"


def _shown_extra(cell: Extra) -> str:
    if _is_empty(cell):
        return "-"
    # Significant digits, not decimals: a p-value of 0.00002 is not 0.0000.
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _is_empty(cell: Extra) -> bool:
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _notes(table: Table) -> list[str]:
    return [_one_line(f"{name}: {note}") for name, note in table.notes.items()]


def _one_line(text: str) -> str:
    """The text without line breaks and control characters, which would break a row."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(character, character) for character in text)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


_MARKDOWN: Mapping[str, str] = MappingProxyType({sign: f"\\{sign}" for sign in "\\`*_<>|#"})

_LATEX: Mapping[str, str] = MappingProxyType(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # After `\\` of the row before, a bracket would be read as its argument.
        "[": "{[}",
    }
)

FORMATS: Mapping[str, Callable[[Table], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "latex": _latex, "json": _json}
)
