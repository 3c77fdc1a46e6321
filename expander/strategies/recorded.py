"""Expansions out of the file that `expand` wrote: made once, perhaps elsewhere, used here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expander.query_terms import with_terms, with_weights
from patientdx.errors import InputError
from patientdx.records import Query
from patientdx.storage.text_files import Source, filled, open_lines, shown

_GREATEST = 1e30  # as the index has it
_HINT = "each line is an object with query_id, weights, terms and replaces_text, as expand writes"


class RecordedExpander:
    """Gives every query what a file holds for its id; others stay as they are."""

    name = "recorded"

    def __init__(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, as they were expanded when the file was written."""
        return [self._expanded(query) for query in queries]

    def _expanded(self, query: Query) -> Query:
        row = self._rows.get(query.query_id)
        if row is None:
            return query
        if row["replaces_text"]:
            query = replace(query, text="", weights={}, terms={})
        return with_terms(with_weights(query, row["weights"]), row["terms"])


def read_expansions(source: Source) -> RecordedExpander:
    """The expander that a file of rows is (see `expansion_row`).

    Raises InputError for rows that are malformed or repeat an id.
    """
    rows: dict[str, dict[str, Any]] = {}
    for line, text in filled(open_lines(source)):
        row = _row(text)
        if row is None:
            raise InputError.at(shown(source), line, "this is no expanded query", hint=_HINT)
        if row["query_id"] in rows:
            problem = f"query `{row['query_id']}` was given already"
            raise InputError.at(shown(source), line, problem, hint="keep one of the lines")
        rows[row["query_id"]] = row
    return RecordedExpander(rows)


def _row(text: str) -> dict[str, Any] | None:
    """The row of a line; None for a line that is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("query_id"), str):
        return None
    row = {"weights": {}, "terms": {}, "replaces_text": False, **row}
    is_whole = isinstance(row["replaces_text"], bool)
    return row if is_whole and _are_weights(row["weights"]) and _are_weights(row["terms"]) else None


def _are_weights(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(weight, int | float)
        and not isinstance(weight, bool)
        and 0 <= weight <= _GREATEST
        for weight in value.values()
    )
