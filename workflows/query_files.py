"""Files of queries: the queries that can be searched with, and what was understood of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patientdx.errors import InputError
from patientdx.formats import QueryFields, QueryReport, read_queries
from patientdx.records import Query
from patientdx.wording import count_noun

from .monitor import Monitor


@dataclass(frozen=True, repr=False)
class QueryFile:
    """The queries with a text, the ids of those without, and notes on how they were read."""

    queries: Sequence[Query]
    empty: Sequence[str]
    notes: Mapping[str, str]

    def report(self, monitor: Monitor) -> None:
        """Report the notes."""
        for label, note in self.notes.items():
            monitor.notice(f"{label}: {note}")


def read_query_file(
    path: Path | str,
    fields: QueryFields | None = None,
    *,
    empty_are: str = "left out",
) -> QueryFile:
    """All queries of a file ("-": stdin), with notes on what was chosen and left out.

    `empty_are` says what becomes of queries with an empty text. Raises InputError for a file
    without a query to search with.
    """
    report = QueryReport()
    queries = list(read_queries(path, fields=fields, report=report))
    name = "stdin" if str(path) == "-" else str(path)
    if not queries:
        problem = "no query in it has a text" if report.empty else "there are no queries in it"
        raise InputError(f"{name}: {problem}", hint="is it the right file?")
    notes = {}
    if report.other_fields or len(report.text_fields) > 1:
        notes["text of queries"] = _chosen_fields(report)
    if report.empty:
        number = count_noun(len(report.empty), "query", "queries")
        notes["empty queries"] = f"{number} with an empty text: {empty_are}"
    return QueryFile(queries, report.empty, notes)


def _chosen_fields(report: QueryReport) -> str:
    chosen = f"from {' and '.join(report.text_fields)}"
    if not report.other_fields:
        return chosen
    others = ", ".join(report.other_fields)
    return f"{chosen}; --query-text-field names another: {others}"
