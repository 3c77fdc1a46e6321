"""Expansions read from a file that the command `expand` wrote, perhaps on another machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expander.query_terms import add_terms, add_words
from patientdx.errors import InputError
from patientdx.records import Query
from patientdx.storage.text_files import Source, non_blank_lines, open_lines, source_name

_MAX_WEIGHT = 1e30  # the same limit as in the index
_HINT = "each line is an object with query_id, weights, terms and replaces_text, as expand writes"


class RecordedExpander:
    """Applies the expansion that a file holds for a query's id; other queries stay unchanged."""

    name = "recorded"

    def __init__(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, as they were expanded when the file was written."""
        return [self._expand(query) for query in queries]

    def _expand(self, query: Query) -> Query:
        row = self._rows.get(query.query_id)
        if row is None:
            return query
        if row["replaces_text"]:
            query = replace(query, text="", weights={}, terms={})
        return add_terms(add_words(query, row["weights"]), row["terms"])


def read_expansions(source: Source) -> RecordedExpander:
    """Reads a file of expansions (see `expansion_row`) as an expander.

    Raises InputError for malformed rows and for ids that appear twice.
    """
    rows: dict[str, dict[str, Any]] = {}
    for line, text in non_blank_lines(open_lines(source)):
        row = _parse_row(text)
        if row is None:
            raise InputError.at(
                source_name(source), line, "this is not an expanded query", hint=_HINT
            )
        if row["query_id"] in rows:
            problem = f"query `{row['query_id']}` appears twice"
            raise InputError.at(source_name(source), line, problem, hint="keep one of the lines")
        rows[row["query_id"]] = row
    return RecordedExpander(rows)


def _parse_row(text: str) -> dict[str, Any] | None:
    """The row of a line, with defaults for missing fields; None if the line is malformed."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("query_id"), str):
        return None
    row = {"weights": {}, "terms": {}, "replaces_text": False, **row}
    is_valid = (
        isinstance(row["replaces_text"], bool)
        and _are_weights(row["weights"])
        and _are_weights(row["terms"])
    )
    return row if is_valid else None


def _are_weights(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(weight, int | float)
        and not isinstance(weight, bool)
        and 0 <= weight <= _MAX_WEIGHT
        for weight in value.values()
    )
