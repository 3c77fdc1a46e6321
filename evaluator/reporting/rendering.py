"""Documents written as text, Markdown, LaTeX or JSON."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from patientdx.errors import EvaluationError

from .documents import DISCLAIMER, Document, DocumentPart
from .text_table import TextTable, one_line


def render_document(document: Document, format_name: str) -> str:
    """The document in one of `FORMATS`, ending in a newline. Raises EvaluationError for others."""
    if format_name not in FORMATS:
        raise EvaluationError(
            f"`{format_name}` is not a format of reports",
            hint=f"formats are {', '.join(FORMATS)}",
        )
    return FORMATS[format_name](document)


def _text(document: Document) -> str:
    title = [document.title, ""] if document.title else []
    blocks = [[*title, *_note_lines(document)]]
    for part in document.parts:
        blocks.append([part.title] if part.title else [])
        blocks += [_aligned_lines(table) for table in part.tables]
        blocks[-1] += [part.note] if part.note else []
    blocks.append([document.method, DISCLAIMER])
    return _join_blocks(blocks)


def _markdown(document: Document) -> str:
    title = [f"# {_escape(document.title, _MARKDOWN)}", ""] if document.title else []
    notes = [f"- {_escape(note, _MARKDOWN)}" for note in _note_lines(document)]
    blocks = [[*title, *notes]]
    for part in document.parts:
        blocks.append([f"## {_escape(part.title, _MARKDOWN)}"] if part.title else [])
        blocks += [_markdown_lines(table) for table in part.tables]
        blocks.append([_escape(part.note, _MARKDOWN)] if part.note else [])
    return _join_blocks([*blocks, [_escape(document.method, _MARKDOWN)], [DISCLAIMER]])


def _latex(document: Document) -> str:
    """One table environment per part; notes, method and disclaimer are in the first caption."""
    notes = [f"{_escape(note, _LATEX)}." for note in _note_lines(document)]
    first_caption = [*notes, _escape(document.method, _LATEX), DISCLAIMER]
    blocks = [
        _latex_part(part, [] if number else first_caption)
        for number, part in enumerate(document.parts)
    ]
    return _join_blocks(blocks)


def _json(document: Document) -> str:
    """All digits, in the fields of `data`."""
    content = {
        **({"title": document.title} if document.title else {}),
        "notes": dict(document.notes),
        "method": document.method,
        "caption": DISCLAIMER,
        **document.data,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _note_lines(document: Document) -> list[str]:
    return [one_line(f"{name}: {note}") for name, note in document.notes.items()]


def _join_blocks(blocks: Iterable[Sequence[str]]) -> str:
    """Blocks of lines with a blank line between them; empty blocks are left out."""
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _aligned_lines(table: TextTable) -> list[str]:
    """Plain text in columns: text aligned left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*table.lines, strict=True)]
    pads = [str.ljust] * table.words + [str.rjust] * (len(widths) - table.words)
    lines = [
        "  ".join(pad(cell, width) for pad, cell, width in zip(pads, cells, widths, strict=True))
        for cells in table.lines
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])]


def _markdown_lines(table: TextTable) -> list[str]:
    header, *rows = [[_escape(cell, _MARKDOWN) for cell in cells] for cells in table.lines]
    alignment = [":--"] * table.words + ["--:"] * (len(header) - table.words)
    return ["| " + " | ".join(cells) + " |" for cells in [header, alignment, *rows]]


def _latex_part(part: DocumentPart, further_caption: Sequence[str]) -> list[str]:
    title = f"{_escape(part.title, _LATEX)}." if part.title else ""
    caption = [title, _escape(part.note, _LATEX), *further_caption]
    lines = [r"\begin{table}", r"\centering"]
    lines += [rf"\caption{{{' '.join(sentence for sentence in caption if sentence)}}}"]
    for number, table in enumerate(part.tables):
        lines += [r"\par\medskip"] if number else []
        lines += _tabular_lines(table)
    return [*lines, r"\end{table}"]


def _tabular_lines(table: TextTable) -> list[str]:
    """A LaTeX tabular, which needs the package booktabs."""
    header, *rows = [
        " & ".join(_escape(cell, _LATEX) for cell in cells) + r" \\" for cells in table.lines
    ]
    columns = "l" * table.words + "r" * (len(table.lines[0]) - table.words)
    return [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _escape(text: str, replacements: Mapping[str, str]) -> str:
    return "".join(replacements.get(character, character) for character in text)


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
        "λ": r"$\lambda$",
        # After the `\\` of the row before, a bracket would be read as its argument.
        "[": "{[}",
    }
)

FORMATS: Mapping[str, Callable[[Document], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "latex": _latex, "json": _json}
)
"""Format name -> function that writes it."""
