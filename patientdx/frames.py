"""Runs, hits, judgements and tables as data frames of pandas or polars, imported when used."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Literal, Protocol, runtime_checkable

from .capabilities import require_package
from .records import Hit, Qrels, Run

Library = Literal["pandas", "polars"]
Row = tuple[Any, ...]


@runtime_checkable
class Tabular(Protocol):
    """A result that is a table."""

    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        ...

    def rows_of_values(self) -> Iterable[Row]:
        """The rows, one value a column."""
        ...


def to_frame(value: Run | Qrels | Sequence[Hit] | Tabular, library: Library = "pandas") -> Any:
    """A data frame with one row a hit, a judgement or a line of a table.

    A run has the columns query_id, rank, doc_id and score, judgements query_id, doc_id and
    relevance, hits rank, doc_id and score. Raises ExtraMissingError where the library is not
    installed.
    """
    require_package(library, "frames")
    columns, rows = _table(value)
    records = list(rows)
    by_column = {name: [row[i] for row in records] for i, name in enumerate(columns)}
    if library == "polars":
        import polars

        return polars.DataFrame(by_column)
    import pandas

    return pandas.DataFrame(by_column, columns=list(columns))


def _table(value: Any) -> tuple[Sequence[str], Iterable[Row]]:
    if isinstance(value, Tabular):
        return value.columns(), value.rows_of_values()
    if not isinstance(value, Mapping):
        return ("rank", "doc_id", "score"), ((rank, *hit) for rank, hit in enumerate(value, 1))
    first: Any = next(iter(value.values()), [])
    if isinstance(first, Mapping):
        return ("query_id", "doc_id", "relevance"), _judgement_rows(value)
    return ("query_id", "rank", "doc_id", "score"), _run_rows(value)


def _run_rows(run: Mapping[str, Sequence[Hit]]) -> Iterator[Row]:
    for query_id, hits in run.items():
        for rank, hit in enumerate(hits, 1):
            yield query_id, rank, hit.doc_id, hit.score


def _judgement_rows(qrels: Mapping[str, Mapping[str, int]]) -> Iterator[Row]:
    for query_id, grades in qrels.items():
        for doc_id, relevance in grades.items():
            yield query_id, doc_id, relevance


def html_table(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """An HTML table, for notebooks; everything is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
