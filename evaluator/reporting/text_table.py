"""Tables of text cells, which every report is made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """Lines of cells, the header first; the first `words` columns are text, the others numbers.

    Every line has the same number of cells, none of which contains a line break.
    """

    lines: tuple[tuple[str, ...], ...]
    words: int

    @classmethod
    def build(
        cls, header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1
    ) -> "TextTable":
        """A table of a header and rows, whose cells are put on one line each."""
        return cls(tuple(tuple(map(one_line, cells)) for cells in (header, *rows)), words)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, which would break a row."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
