"""Reports of several tables, written as text, Markdown, LaTeX or JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from evaluator.retrieval.tables import CAPTION
from patientdx.errors import EvaluationError

from .cells import Grid, one_line
from .rendering import LATEX_SIGNS, MARKDOWN_SIGNS, aligned, escaped, piped, tabular


@dataclass(frozen=True)
class Part:
    """A table, what it shows, and what a reader must know of it."""

    title: str
    grid: Grid
    note: str = ""


@dataclass(frozen=True)
class Document:
    """Tables in a row under one title.

    `notes` say what was measured, `method` how; `data` is everything in full, for JSON.
    """

    title: str
    parts: tuple[Part, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def render_document(document: Document, format_name: str) -> str:
    """A report in one of the four formats, ending in a newline. Raises EvaluationError."""
    if format_name not in _FORMATS:
        raise EvaluationError(
            f"`{format_name}` is not a format of reports",
            hint=f"formats are {', '.join(_FORMATS)}",
        )
    return _FORMATS[format_name](document)


def _text(document: Document) -> str:
    lines = [document.title, "", *_notes(document)]
    for part in document.parts:
        lines += ["", part.title, "", *aligned(part.grid)]
        lines += [part.note] if part.note else []
    return "\n".join([*lines, "", document.method, CAPTION, ""])


def _markdown(document: Document) -> str:
    lines = [f"# {escaped(document.title, MARKDOWN_SIGNS)}", ""]
    lines += [f"- {escaped(note, MARKDOWN_SIGNS)}" for note in _notes(document)]
    for part in document.parts:
        lines += ["", f"## {escaped(part.title, MARKDOWN_SIGNS)}", "", *piped(part.grid)]
        lines += ["", escaped(part.note, MARKDOWN_SIGNS)] if part.note else []
    return "\n".join([*lines, "", escaped(document.method, MARKDOWN_SIGNS), "", CAPTION, ""])


def _latex(document: Document) -> str:
    """Tables that need the package booktabs; what was measured stands in the first caption."""
    told = [f"{escaped(note, LATEX_SIGNS)}." for note in _notes(document)]
    told = [*told, escaped(document.method, LATEX_SIGNS), CAPTION]
    lines = []
    for part in document.parts:
        caption = [f"{escaped(part.title, LATEX_SIGNS)}.", escaped(part.note, LATEX_SIGNS), *told]
        told = []
        lines += [r"\begin{table}", r"\centering"]
        lines += [rf"\caption{{{' '.join(text for text in caption if text)}}}"]
        lines += [*tabular(part.grid), r"\end{table}", ""]
    return "\n".join(lines)


def _json(document: Document) -> str:
    content = {
        "title": document.title,
        "notes": dict(document.notes),
        "method": document.method,
        "caption": CAPTION,
        **document.data,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _notes(document: Document) -> list[str]:
    return [one_line(f"{name}: {note}") for name, note in document.notes.items()]


_FORMATS: Mapping[str, Callable[[Document], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "latex": _latex, "json": _json}
)
