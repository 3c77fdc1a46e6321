"""Reads relevance judgements: columns of TREC and BEIR, CSV, JSON, PMC-Patients' dictionaries."""

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from patientdx.errors import InputError
from patientdx.records import Qrels
from patientdx.storage.text_files import Source, TextInput
from patientdx.wording import count_noun

from .query_fields import plain_name, usual_fields
from .rows import Rows
from .tables import allow_long_fields

SIMILAR = "similar_patients"
"""PMC-Patients' dictionary of the patients that are similar to one, with grades 1 and 2."""

_GRADE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*)?")
_MATCHES = MappingProxyType(
    dict.fromkeys(("string", "synonym", "hyponym", "abbreviation", "implication"), 1)
)
"""CliniQ's kinds of matches, all of them relevant."""
_QUERY_NAMES = ("query-id", "query_id", "qid", "query", "topic", "topic_id")
_DOC_NAMES = ("corpus-id", "doc_id", "docid", "docno", "document_id", "patient_uid", "pid", "id")
_GRADE_NAMES = ("score", "relevance", "rel", "label", "grade")
_HINT = "a line is: query-id document-id grade (BEIR), or query-id 0 document-id grade (TREC)"

Judgement = tuple[int, str, str, int]
"""The line, the query, the document and the grade of a judgement."""


def read_qrels(path: Source) -> Qrels:
    """Judgements in TREC's 4 columns or BEIR's 3, with or without a header, as CSV, or as JSON.

    Columns are separated by tabs where a line has one, by white space, or by commas where the rest
    gives too few. JSON is an object a line with query, document and grade, one object of the form
    `{query: {document: grade}}`, or rows of PMC-Patients (JSON or CSV), whose `similar_patients`
    are the judgements. Grades may be written as 1.0, and CliniQ's kinds of matches count 1. Raises
    InputError for rows that are malformed or judge a pair twice.
    """
    qrels: Qrels = {}
    with TextInput(path) as source:
        is_json = source.first_character() in {"{", "["} and not _is_judgement(source.first_line())
        for line, query_id, doc_id, grade in _from_json(source) if is_json else _from_lines(source):
            graded = qrels.setdefault(query_id, {})
            if doc_id in graded:
                problem = f"`{doc_id}` was judged for query `{query_id}` already"
                raise InputError.at(source.name, line, problem, hint="keep one of the two lines")
            graded[doc_id] = grade
    return qrels


def _from_lines(source: TextInput) -> Iterator[Judgement]:
    width = 0
    lines = (line for line in source.lines() if not line.isspace())
    for text in lines:
        cells = _cells(text)
        if not width and SIMILAR in cells:
            yield from _from_pmc_csv(source, text, lines)
            return
        if not width and _is_header(cells):
            width = len(cells)
            continue
        yield source.line, *_judgement(cells, width, source.name, source.line)
        width = len(cells)


def _is_judgement(line: str) -> bool:
    """Whether a line is a row of columns, though its first id may begin as JSON does."""
    cells = _cells(line)
    return len(cells) in {3, 4} and _grade(cells[-1]) is not None


def _cells(text: str) -> list[str]:
    if "\t" in text:
        return [cell.strip() for cell in text.strip().split("\t")]
    cells = text.split()
    if "," in text and (len(cells) < 3 or _grade(cells[-1]) is None):
        parted = [cell.strip() for cell in next(csv.reader([text.strip()]), [])]
        return parted if len(parted) > 2 else cells
    return cells


def _is_header(cells: list[str]) -> bool:
    """True for a row of column names; BEIR's own loader drops any first row."""
    first, last = plain_name(cells[0]), plain_name(cells[-1])
    named = first in map(plain_name, _QUERY_NAMES) or last in map(plain_name, _GRADE_NAMES)
    return len(cells) in {3, 4} and named and _grade(cells[-1]) is None


def _judgement(cells: list[str], width: int, name: str, line: int) -> tuple[str, str, int]:
    """Query, document and grade; `width` is the number of columns so far, 0 if unknown."""
    query_id, doc_id, last = (cells[0], cells[-2], cells[-1]) if len(cells) > 1 else ("", "", "")
    grade = _grade(last)
    problem = None
    if len(cells) not in ({width} if width else {3, 4}):
        expected = str(width) if width else "4 (TREC) or 3 (BEIR)"
        problem = f"{count_noun(len(cells), 'column')} instead of {expected}"
    elif not query_id or not doc_id:
        problem = "an empty id"
    elif grade is None:
        problem = "the relevance in the last column is no whole number"
    if problem is not None or grade is None:
        raise InputError.at(name, line, problem or "", hint=_HINT)
    return query_id, doc_id, grade


def _grade(value: Any) -> int | None:
    """A whole number, also written as 1.0, or a kind of match; None for what is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    number = _GRADE.fullmatch(str(value).strip())
    return int(number[1]) if number else _MATCHES.get(str(value))


def _from_pmc_csv(source: TextInput, header: str, lines: Iterator[str]) -> Iterator[Judgement]:
    """The dictionaries in the cells of a CSV file of PMC-Patients."""
    delimiter = "\t" if "\t" in header else ","
    columns = next(csv.reader([header.strip()], delimiter=delimiter))
    allow_long_fields()
    start = source.line + 1
    try:
        for cells in csv.reader(lines, delimiter=delimiter, strict=True):
            row = dict(zip(columns, cells, strict=False))
            yield from _similar_patients(row, source.name, start)
            start = source.line + 1
    except csv.Error as error:
        raise InputError.at(source.name, start, f"malformed CSV ({error})") from error


def _from_json(source: TextInput) -> Iterator[Judgement]:
    if source.first_character() == "{":
        skipped, text = source.line, "".join(source.chunks())
        whole = _nested(text, source.name)
        if whole is not None:
            yield from whole
            return
        for line, row in _lines_of_json(text, source.name, skipped):
            yield from _row_judgements(row, source.name, line)
        return
    for line, row in Rows(source):
        yield from _row_judgements(row, source.name, line)


def _nested(text: str, name: str) -> list[Judgement] | None:
    """The judgements of one object {query: {document: grade}}; None where it is none."""
    first = text.lstrip().split("\n", 1)[0]
    try:
        values = json.loads(first)
    except (ValueError, RecursionError):
        values = {}
    is_row = not all(isinstance(value, dict) for value in _as_object(values, name, 1).values())
    if is_row:
        return None
    try:
        values = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: malformed JSON ({str(error)[:60]})", hint=_HINT) from error
    return [
        (1, query_id, doc_id, _checked_grade(grade, name, 1))
        for query_id, graded in values.items()
        for doc_id, grade in _as_object(graded, name, 1).items()
    ]


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _lines_of_json(text: str, name: str, skipped: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, content in enumerate(text.split("\n"), skipped + 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError.at(name, line, "malformed JSON", hint=_HINT) from error
        yield line, _as_object(row, name, line)


def _row_judgements(row: Mapping[str, Any], name: str, line: int) -> Iterator[Judgement]:
    """The judgement of a row, or all of a row of PMC-Patients."""
    if SIMILAR in row:
        yield from _similar_patients(row, name, line)
        return
    fields = [usual_fields(names, row) for names in (_QUERY_NAMES, _DOC_NAMES, _GRADE_NAMES)]
    if not all(fields):
        problem = "no judgement: query-id, corpus-id and score, or similar_patients"
        raise InputError.at(name, line, problem, hint='{"query-id": "q1", "corpus-id": "d1", ...}')
    query_id, doc_id, grade = (row[names[0]] for names in fields)
    ids = _checked_id(query_id, name, line), _checked_id(doc_id, name, line)
    yield line, *ids, _checked_grade(grade, name, line)


def _similar_patients(row: Mapping[str, Any], name: str, line: int) -> Iterator[Judgement]:
    query_id = _checked_id(row.get("patient_uid"), name, line)
    value = row.get(SIMILAR)
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if value.strip() else {}
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = None
    for doc_id, grade in _as_object(value, name, line).items():
        ids = query_id, _checked_id(doc_id, name, line)
        yield line, *ids, _checked_grade(grade, name, line)


def _as_object(value: Any, name: str, line: int) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        problem = "this is no object of judgements"
        raise InputError.at(name, line, problem, hint='{"q1": {"d1": 1}}, or an object a line')
    return value


def _checked_id(value: Any, name: str, line: int) -> str:
    identifier = str(value).strip() if isinstance(value, str | int) else ""
    if not identifier or isinstance(value, bool):
        raise InputError.at(name, line, "an empty id", hint=_HINT)
    return identifier


def _checked_grade(value: Any, name: str, line: int) -> int:
    grade = _grade(value)
    if grade is None:
        raise InputError.at(name, line, "the relevance is no whole number", hint=_HINT)
    return grade
