"""Text for a terminal: without control characters, in bold where wanted, wrapped at word ends.

Notes, titles and ids are other people's text. An escape sequence among them could move the
cursor, rename the window or answer for the user, so no control character is printed: a visible
sign stands in for each. Emphasis is marked by two code points that Unicode reserves for use
within a program, and becomes an escape sequence only when a line is printed.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

_BOLD, _PLAIN = "\ufdd0", "\ufdd1"
_NARROWEST = 20

_C1 = range(0x80, 0xA0)
_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_REPLACEMENT = "\ufffd"
_VISIBLE = (
    {code: chr(0x2400 + code) for code in range(0x20) if code not in b"\t\n"}
    | {0x7F: "\u2421"}
    | dict.fromkeys((*_C1, *_BIDI_CONTROLS), _REPLACEMENT)
)
_UNMARKED = dict.fromkeys(map(ord, (_BOLD, _PLAIN)), _REPLACEMENT)
_ESCAPED_IN_JSON = {code: f"\\u{code:04x}" for code in (0x7F, *_C1, *_BIDI_CONTROLS)}


def without_controls(text: str) -> str:
    """The text with a visible sign for each control character but tabs and line ends.

    C0 and C1 controls (ESC and CSI among them) and the controls that change the direction of
    writing are replaced, character by character.
    """
    return text.translate(_VISIBLE)


def escaped_json(document: str) -> str:
    """A JSON document whose control characters are all escaped, as JSON escapes those of ASCII."""
    return document.translate(_ESCAPED_IN_JSON)


def rendered(line: str) -> str:
    """A line as it is printed: without control characters, emphasis as the terminal shows it."""
    shown = use_colour()
    return (
        without_controls(line)
        .replace(_BOLD, "\033[1m" if shown else "")
        .replace(_PLAIN, "\033[0m" if shown else "")
    )


def use_colour() -> bool:
    """True where emphasis can be shown."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def bold(text: str) -> str:
    """The text in bold when it is printed on a terminal, unchanged elsewhere."""
    return f"{_BOLD}{text.translate(_UNMARKED)}{_PLAIN}"


def highlight(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A passage on one line with its matching words in bold; spans that overlap are joined."""
    pieces, end_of_last = [], 0
    for start, end in _joined(spans):
        pieces += [text[end_of_last:start].translate(_UNMARKED), bold(text[start:end])]
        end_of_last = end
    return " ".join("".join([*pieces, text[end_of_last:].translate(_UNMARKED)]).split())


def _joined(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ascending spans, with those that overlap as one."""
    start = end = None
    for first, last in spans:
        if start is None or end is None or first > end:
            if start is not None and end is not None:
                yield start, end
            start, end = first, last
        else:
            end = max(end, last)
    if start is not None and end is not None:
        yield start, end


def line_width() -> int | None:
    """Columns of the terminal that is printed on, or those of COLUMNS; None where none is."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def wrap(text: str, indent: str, width: int | None) -> Iterator[str]:
    """A text as indented lines that break at blanks; a word wider than a line is cut.

    Without a width it is one line.
    """
    room = None if width is None else max(_NARROWEST, width - len(indent))
    for line in _broken(text.split(" "), room) if room else [text]:
        yield indent + line


def _broken(words: Sequence[str], room: int) -> Iterator[str]:
    line: list[str] = []
    used = 0
    for word in words:
        size = _columns(word)
        if line and used + 1 + size > room:
            yield " ".join(line)
            line, used = [], 0
        if size > room:
            yield from _cut(word, room)
        else:
            used += size + bool(line)
            line.append(word)
    if line:
        yield " ".join(line)


def _cut(word: str, room: int) -> Iterator[str]:
    """A word in pieces of at most `room` columns."""
    piece, used = "", 0
    for character in word:
        size = _columns(character)
        if piece and used + size > room:
            yield piece
            piece, used = "", 0
        piece += character
        used += size
    yield piece


def _columns(text: str) -> int:
    """Columns that a text takes on a terminal: two for wide characters of East Asia."""
    plain = text.replace(_BOLD, "").replace(_PLAIN, "")
    if plain.isascii():
        return len(plain)
    from rich.cells import cell_len

    return cell_len(plain)
