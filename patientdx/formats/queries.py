"""Reads queries from BEIR and ReCDS files, JSON lines and tab-separated lines."""

from collections.abc import Iterator

from patientdx.errors import InputError
from patientdx.records import Query
from patientdx.storage.text_files import Source, TextInput, is_folder
from patientdx.wording import count_noun

from .fields import RowProblemError, read_id, read_text
from .folders import queries_file
from .rows import Row, Rows

_ID_FIELDS = ("_id", "id", "query_id", "qid", "patient_uid")
_TEXT_FIELDS = ("text", "query", "patient")
_HINT = "a query is a JSON object with _id and text, or an id, a tab and a text"
_HEADER_IDS = frozenset({"_id", "id", "query_id", "query-id", "qid"})


def read_queries(source: Source) -> Iterator[Query]:
    """The queries of a file, of "-" (standard input) or of a BEIR folder, in order.

    JSON lines (`_id`, `text`), or lines of an id, a tab and a text. Raises InputError for a
    row that cannot be used or repeats an id.
    """
    with TextInput(queries_file(source) if is_folder(source) else source) as opened:
        lines: dict[str, int] = {}
        is_json = opened.first_character() in {"{", "["}
        for line, query in _from_json(opened) if is_json else _from_tabs(opened):
            first = lines.setdefault(query.query_id, line)
            if first != line:
                problem = f"query `{query.query_id}` appeared on line {first} already"
                raise InputError.at(opened.name, line, problem, hint="give every query its own id")
            yield query


def _from_json(source: TextInput) -> Iterator[tuple[int, Query]]:
    rows = Rows(source)
    for line, row in rows:
        try:
            query_id = read_id(row, _present(row, _ID_FIELDS))
            yield line, Query(query_id, read_text(row, _present(row, _TEXT_FIELDS)))
        except RowProblemError as problem:
            rows.reject(line, str(problem))


def _present(row: Row, names: tuple[str, ...]) -> str:
    """The first name that the row has; without one the first of all, for the error message."""
    return next((name for name in names if name in row), names[0])


def _from_tabs(source: TextInput) -> Iterator[tuple[int, Query]]:
    is_first = True
    for text in source.lines():
        if text.isspace():
            continue
        cells = text.rstrip("\r\n").split("\t")
        is_header = is_first and cells[0].strip().lower() in _HEADER_IDS
        is_first = False
        if is_header:
            continue
        if len(cells) != 2:
            problem = f"{count_noun(len(cells), 'column')} where a query has 2"
            raise InputError.at(source.name, source.line, problem, hint=_HINT)
        row = {"id": cells[0], "text": cells[1]}
        try:
            yield source.line, Query(read_id(row, "id"), read_text(row, "text"))
        except RowProblemError as problem:
            raise InputError.at(source.name, source.line, str(problem), hint=_HINT) from problem
