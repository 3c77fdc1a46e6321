"""Reads queries: JSON lines, tab-separated lines, CSV, and TREC topics."""

import csv
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from patientdx.errors import InputError
from patientdx.records import Query
from patientdx.storage.text_files import Source, TextInput, is_folder
from patientdx.wording import count_noun

from .fields import RowProblemError
from .folders import queries_file
from .query_fields import (
    ID_NAMES,
    TEXT_NAMES,
    QueryFields,
    QueryReport,
    ResolvedFields,
    plain_name,
    usual_fields,
)
from .rows import Rows
from .tables import allow_long_fields
from .topics import NUMBER, TEXT, read_topics

_HINT = (
    "a query is a JSON object with _id and text, or an id, a tab and a text; CSV begins with a "
    "header such as qid,query, and TREC topics are read too"
)
_TOPIC_TEXTS = ("text", "summary", "description", "title", "query", "question", "desc", "note")
"""Parts of a topic that are the query, the first that there is, unless the user names another."""

NumberedRow = tuple[int, Mapping[str, Any], ResolvedFields]
"""The line of a row, its values, and the fields of its id and text."""


def read_queries(
    source: Source, *, fields: QueryFields | None = None, report: QueryReport | None = None
) -> Iterator[Query]:
    """The queries of a file, of "-" (standard input) or of a BEIR folder, in order.

    JSON objects or CSV (`_id` and `text`, `qid` and `query`, `id` and `contents` ...), lines of an
    id, a tab and a text, and TREC topics, XML or `<top>` blocks. `fields` names other fields.
    Of a topic with several parts the query is the summary, else the description, else the title.

    Raises InputError for a row that cannot be used or repeats an id, and for a query with an empty
    text; with a `report` such queries are left out and listed there.
    """
    report_to = report or QueryReport()
    with TextInput(queries_file(source) if is_folder(source) else source) as opened:
        lines: dict[str, int] = {}
        for line, row, resolved in _rows(opened, fields or QueryFields()):
            report_to.add_fields(resolved)
            try:
                query = resolved.query(row)
            except RowProblemError as error:
                raise InputError.at(opened.name, line, str(error), hint=_HINT) from error
            first = lines.setdefault(query.query_id, line)
            if first != line:
                problem = f"query `{query.query_id}` appeared on line {first} already"
                raise InputError.at(opened.name, line, problem, hint="give every query its own id")
            if query.text:
                yield query
            elif report is None:
                problem = f"the text in `{'+'.join(resolved.text)}` is empty"
                raise InputError.at(opened.name, line, problem, hint=_HINT)
            else:
                report.empty.append(query.query_id)


def _rows(source: TextInput, fields: QueryFields) -> Iterator[NumberedRow]:
    first = source.first_character()
    if first in {"{", "["} and not _is_id_before_tab(source.first_line()):
        return _json_rows(source, fields)
    if first == "<":
        return _topic_rows(source, fields)
    return _table_rows(source, fields)


def _is_id_before_tab(line: str) -> bool:
    """Whether a line is a row of cells, though its id may begin as JSON does."""
    cell, tab, _ = line.partition("\t")
    return bool(tab) and '"' not in cell and any(map(str.isalnum, cell))


def _json_rows(source: TextInput, fields: QueryFields) -> Iterator[NumberedRow]:
    resolved = None
    for line, row in Rows(source):
        resolved = resolved or fields.resolve(row, source.name, line)
        yield line, row, resolved if fields.are_set else resolved.fit(row)


def _topic_rows(source: TextInput, fields: QueryFields) -> Iterator[NumberedRow]:
    """Topics; where no part has a usual name, the query is all of them."""
    resolved = None
    for line, topic in read_topics(source):
        parts = [name for name in topic if name != NUMBER] or [TEXT]
        row = {TEXT: "", **topic}
        if resolved is None and fields.text is not None:
            resolved = QueryFields(NUMBER, fields.text).resolve(topic, source.name, line)
        elif resolved is None and (usual := [name for name in _TOPIC_TEXTS if name in parts]):
            others = tuple(name for name in parts if name != usual[0])
            resolved = ResolvedFields(NUMBER, (usual[0],), others)
        yield line, row, resolved or ResolvedFields(NUMBER, tuple(parts))


def _table_rows(source: TextInput, fields: QueryFields) -> Iterator[NumberedRow]:
    """Lines of tab-separated cells, with or without a header, or CSV with one."""
    lines = source.lines()
    first = next((line for line in lines if not line.isspace()), "")
    if not first:
        return
    cells = _header_cells(first)
    is_header = fields.are_set or _is_header(cells)
    resolved = (
        fields.resolve(cells, source.name, source.line)
        if is_header
        else ResolvedFields("id", ("text",))
    )
    columns = cells if is_header else ["id", "text"]
    rows = lines if is_header else chain([first], lines)
    if is_header and "\t" not in first:
        rows_of_cells = _csv_cells(source, rows, _delimiter(first))
    else:
        rows_of_cells = _tab_cells(source, rows)
    for line, values in rows_of_cells:
        if len(values) != len(columns):
            expected = f"{'the header' if is_header else 'a query'} has {len(columns)}"
            problem = f"{count_noun(len(values), 'column')} where {expected}"
            raise InputError.at(source.name, line, problem, hint=_HINT)
        yield line, dict(zip(columns, values, strict=True)), resolved


def _header_cells(line: str) -> list[str]:
    """The cells of a first line, should it be a header."""
    if "\t" in line:
        cells = line.split("\t")
    else:
        try:
            cells = next(csv.reader([line], delimiter=_delimiter(line)), [])
        except csv.Error:
            cells = [line]
    return [cell.strip() for cell in cells]


def _is_header(cells: list[str]) -> bool:
    """Whether a first line names columns: its id and, beside it, a text."""
    if len(set(cells)) < max(2, len(cells)) or plain_name(cells[0]) in {"", *TEXT_NAMES}:
        return False
    names = {plain_name(name) for name in ID_NAMES}
    return plain_name(cells[0]) in names or bool(
        usual_fields(ID_NAMES, cells) and usual_fields(TEXT_NAMES, cells)
    )


def _delimiter(line: str) -> str:
    return ";" if line.count(";") > line.count(",") else ","


def _tab_cells(source: TextInput, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Cells between tabs; quotes are literal."""
    for text in lines:
        if not text.isspace():
            yield source.line, text.rstrip("\r\n").split("\t")


def _csv_cells(
    source: TextInput, lines: Iterator[str], delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Cells of CSV, and the lines on which their rows begin."""
    allow_long_fields()
    start = source.line + 1
    try:
        for cells in csv.reader(lines, delimiter=delimiter, strict=True):
            if cells:
                yield start, cells
            start = source.line + 1
    except csv.Error as error:
        problem = f"malformed CSV in the row that begins on line {start} ({error})"
        hint = 'a text with a comma, a quote or a line break stands in "..."'
        raise InputError.at(source.name, source.line, problem, hint=hint) from error
