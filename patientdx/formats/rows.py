"""Rows of JSON lines, JSON lists and tables (CSV, TSV), each with its line number.

Files are streamed: a JSON list is decoded element by element from a growing buffer.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import InputError
from patientdx.storage.text_files import TextInput
from patientdx.wording import count_noun

from .tables import check_names, records

Row = dict[str, Any]

_SPACE = re.compile(r"[ \t\r\n]*")
_LARGEST = 1 << 26  # characters of one element of a list; notes have a few thousand
_HEADER_HINT = "the first line names the columns, each by a name of its own"
_LOOK_AHEAD = 100  # characters
_NEAR_END = 16  # characters: an error this close to the buffer's end may come from the cut
_CSV_NAMES = re.compile(r"\.(csv|tsv)(\.gz|\.zst)?$", re.IGNORECASE)
_JSONL_NAMES = re.compile(r"\.(jsonl|ndjson)(\.gz|\.zst)?$", re.IGNORECASE)


@dataclass
class SkippedRows:
    """Number of skipped rows, and the first few reasons (`path:line: reason`)."""

    count: int = 0
    messages: list[str] = field(default_factory=list)
    most_messages: int = 5

    def add(self, message: str) -> None:
        """Counts another row."""
        self.count += 1
        if len(self.messages) < self.most_messages:
            self.messages.append(message)


class Rows:
    """The rows of an open source, in order.

    `columns` are the names in the header of a table (on line `header_line`), None for JSON, and
    `separator` stands between its cells. A bad row raises InputError, unless there is a `skip`,
    which counts it.
    """

    def __init__(
        self, source: TextInput, skip: SkippedRows | None = None, hint: str = "mend that row"
    ) -> None:
        self.columns: list[str] | None = None
        self.header_line = 0
        self.separator = ""
        self.name = source.name
        self._source = source
        self._skip = skip
        self._hint = hint

    def reject(self, line: int, problem: str) -> None:
        """Skips a row, or raises InputError."""
        if self._skip is None:
            raise InputError.at(self.name, line, problem, hint=self._hint)
        self._skip.add(f"{self.name}:{line}: {problem}")

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """(first line of the row, row); the format is detected from content and name."""
        first = self._source.first_character()
        if not first:
            return iter(())
        if _JSONL_NAMES.search(self.name) or first == "{":
            return self._objects(self._json_lines())
        if _CSV_NAMES.search(self.name) or first != "[":
            return self._table()
        return self._objects(_json_list(self._source))

    def _objects(self, values: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Row]]:
        for line, value in values:
            if isinstance(value, dict):
                yield line, value
            else:
                self.reject(line, "this is no JSON object")

    def _json_lines(self) -> Iterator[tuple[int, Any]]:
        for text in self._source.lines():
            if text.isspace():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                self.reject(self._source.line, f"malformed JSON ({_reason(error)})")
                continue
            yield self._source.line, value

    def _table(self) -> Iterator[tuple[int, Row]]:
        for line, separator, cells in records(self._source):
            if self.columns is None:
                self.columns, self.header_line = [name.strip() for name in cells], line
                check_names(self.name, line, self.columns, hint=_HEADER_HINT)
                self.separator = separator
            else:
                yield from self._table_row(line, cells, self.columns)

    def _table_row(
        self, start: int, cells: list[str], columns: list[str]
    ) -> Iterator[tuple[int, Row]]:
        if len(cells) == len(columns):
            yield start, dict(zip(columns, cells, strict=True))
        else:
            self.reject(
                start, f"{count_noun(len(cells), 'field')} where the header names {len(columns)}"
            )


def _reason(error: ValueError | RecursionError) -> str:
    """The problem reported by `json`, without the text around it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


class JsonBuffer:
    """A sliding window over a text, from which elements are decoded."""

    def __init__(self, source: TextInput) -> None:
        self.line = source.line + 1  # leading white space has been read already
        self._chunks = source.chunks()
        self._name = source.name
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False

    def _grow(self) -> None:
        """Doubles the rest of the window, so that repeated decoding stays cheap."""
        parts = [self._text[self._at :]]
        missing = max(1, len(parts[0]))
        while missing > 0 and not self._ended:
            part = next(self._chunks, None)
            self._ended = part is None
            parts.append(part or "")
            missing -= len(part or "")
        self._text, self._at = "".join(parts), 0

    def _advance(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def next_character(self) -> str:
        """The next character that is not white space, without consuming it; "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._advance(space.end() if space else self._at)
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._grow()

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Whether the next characters, a hundred at least, match; consumes nothing."""
        while len(self._text) - self._at < _LOOK_AHEAD and not self._ended:
            self._grow()
        return pattern.match(self._text, self._at) is not None

    def skip_character(self) -> None:
        """Consumes one character."""
        self._advance(self._at + 1)

    def element(self) -> Any:
        """Consumes and returns the next JSON value."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or not self._may_be_cut(error):
                    raise self.malformed(_reason_in_list(error)) from error
            else:
                if end < len(self._text) or self._ended:
                    self._advance(end)
                    return value
            if len(self._text) - self._at > _LARGEST:
                raise self.malformed(f"one element has more than {_LARGEST} characters")
            self._grow()

    def _may_be_cut(self, error: ValueError | RecursionError) -> bool:
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated") or error.pos > len(self._text) - _NEAR_END

    def malformed(self, problem: str) -> InputError:
        """The error of a list that cannot be parsed further."""
        hint = "mend the file, or write one object a line and no list"
        return InputError.at(self._name, self.line, f"malformed JSON list ({problem})", hint=hint)


def _reason_in_list(error: ValueError | RecursionError) -> str:
    """As `_reason`, but without a column, which would count from the buffer's start."""
    return error.msg if isinstance(error, json.JSONDecodeError) else _reason(error)


def _json_list(source: TextInput) -> Iterator[tuple[int, Any]]:
    """(line, element) of a file that is one JSON list. Raises InputError if it is malformed."""
    buffer = JsonBuffer(source)
    buffer.next_character()
    buffer.skip_character()  # the opening bracket
    follows = buffer.next_character()
    while follows != "]":
        yield buffer.line, buffer.element()
        follows = buffer.next_character()
        if follows == ",":
            buffer.skip_character()
            buffer.next_character()
        elif follows != "]":
            raise buffer.malformed("a comma or the closing bracket is missing")
    buffer.skip_character()
    if buffer.next_character():
        raise buffer.malformed("there is text after the closing bracket")
