"""Tables written as text, Markdown, LaTeX or JSON."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

from evaluator.retrieval.comparison import Comparison
from evaluator.retrieval.tables import CAPTION, ReportRow, Table
from patientdx.errors import EvaluationError

from .cells import Grid, grids, is_empty, notes


def render(table: Table, format_name: str) -> str:
    """The table in one of `FORMATS`, ending in a newline. Raises EvaluationError for another."""
    if format_name not in FORMATS:
        raise EvaluationError(
            f"`{format_name}` is not a format of tables",
            hint=f"formats are {', '.join(FORMATS)}",
        )
    return FORMATS[format_name](table)


def _text(table: Table) -> str:
    parts = [aligned(grid) for grid in grids(table)]
    return _joined([*_before(notes(table)), *_apart(parts), "", table.method, CAPTION])


def aligned(grid: Grid) -> list[str]:
    """Lines of plain text, words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*grid.lines, strict=True)]
    pads = [str.ljust] * grid.words + [str.rjust] * (len(widths) - grid.words)
    lines = [
        "  ".join(pad(cell, width) for pad, cell, width in zip(pads, cells, widths, strict=True))
        for cells in grid.lines
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])]


def _markdown(table: Table) -> str:
    told = [f"- {escaped(note, MARKDOWN_SIGNS)}" for note in notes(table)]
    parts = [piped(grid) for grid in grids(table)]
    method = escaped(table.method, MARKDOWN_SIGNS)
    return _joined([*_before(told), *_apart(parts), "", method, "", CAPTION])


def piped(grid: Grid) -> list[str]:
    """Lines of a Markdown table."""
    header, *rows = [[escaped(cell, MARKDOWN_SIGNS) for cell in cells] for cells in grid.lines]
    ruled = [":--"] * grid.words + ["--:"] * (len(header) - grid.words)
    return ["| " + " | ".join(cells) + " |" for cells in [header, ruled, *rows]]


def _latex(table: Table) -> str:
    """A table that needs the package booktabs."""
    told = [f"{escaped(note, LATEX_SIGNS)}." for note in notes(table)]
    caption = " ".join([*told, escaped(table.method, LATEX_SIGNS), CAPTION])
    parts = [tabular(grid) for grid in grids(table)]
    return _joined(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            *_apart(parts, r"\par\medskip"),
            r"\end{table}",
        ]
    )


def tabular(grid: Grid) -> list[str]:
    """Lines of a LaTeX tabular that needs the package booktabs."""
    header, *rows = [
        " & ".join(escaped(cell, LATEX_SIGNS) for cell in cells) + r" \\" for cells in grid.lines
    ]
    columns = "l" * grid.words + "r" * (len(grid.lines[0]) - grid.words)
    return [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _json(table: Table) -> str:
    """All digits; every figure with its own n, low and high, every comparison with its tests."""
    content = {
        "notes": dict(table.notes),
        "method": table.method,
        "caption": CAPTION,
        "measures": list(table.measures),
        "rows": [_json_row(row, table.measures) for row in table.rows],
        "comparisons": [_json_comparison(one) for one in table.comparisons],
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
    extra = {name: None if is_empty(cell) else cell for name, cell in row.extra.items()}
    content = {"system": row.system, "n": row.n, "figures": figures, "extra": extra}
    return _named(row.dataset) | content


def _json_comparison(one: Comparison) -> dict[str, object]:
    low, high = one.interval
    randomisation = {"p": one.p_randomisation, "holm": one.holm_randomisation, "exact": one.exact}
    student = {"t": one.t, "p": one.p_t, "holm": one.holm_t}
    return _named(one.dataset) | {
        "system": one.system,
        "baseline": one.baseline,
        "measure": one.measure,
        "n": one.n,
        "difference": {"value": one.difference, "low": low, "high": high},
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "randomisation": randomisation,
        "t_test": {name: None if is_empty(value) else value for name, value in student.items()},
        "family": one.family,
    }


def _named(dataset: str) -> dict[str, object]:
    return {"set": dataset} if dataset else {}


def _before(lines: list[str]) -> list[str]:
    """The lines and an empty one after them; nothing where there are none."""
    return [*lines, ""] if lines else []


def _apart(parts: list[list[str]], between: str = "") -> list[str]:
    """The lines of all parts, with one between each two."""
    first, *others = parts
    return [*first, *(line for part in others for line in [between, *part])]


def escaped(text: str, signs: Mapping[str, str]) -> str:
    """The text with what `signs` names replaced: `MARKDOWN_SIGNS` or `LATEX_SIGNS`."""
    return "".join(signs.get(character, character) for character in text)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


MARKDOWN_SIGNS: Mapping[str, str] = MappingProxyType({sign: f"\\{sign}" for sign in "\\`*_<>|#"})

LATEX_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "λ": r"$\lambda$",
        # After `\\` of the row before, a bracket would be read as its argument.
        "[": "{[}",
    }
)

FORMATS: Mapping[str, Callable[[Table], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "latex": _latex, "json": _json}
)
