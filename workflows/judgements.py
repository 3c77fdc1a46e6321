"""Queries and relevance judgements, read from the files that name them, and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from patientdx.errors import InputError, UsageError
from patientdx.formats import QueryFields, evaluation_files, read_qrels
from patientdx.protocols import PatientIndex
from patientdx.records import Qrels, Query
from patientdx.wording import count_noun

from .monitor import Monitor
from .query_files import QueryFile, read_query_file

EmptyQueries = Literal["leave-out", "zero"]
"""What becomes of judged queries with an empty text: left out of the means, or scored 0."""


@dataclass(frozen=True)
class JudgedQueries:
    """Files of queries and of their judgements; each is read once, when first used.

    `of_patients` says that the queries are patients of the corpus's own collection, as in ReCDS:
    a query and a note of one id are the same patient.
    """

    queries_path: Path | str
    qrels_path: Path | str
    of_patients: bool = False
    fields: QueryFields | None = None
    empty_queries: EmptyQueries = "leave-out"

    @cached_property
    def _file(self) -> QueryFile:
        """All queries, and what was left out of them."""
        scored = "left out" if self.empty_queries == "leave-out" else "score 0 where judged"
        return read_query_file(self.queries_path, self.fields, empty_are=scored)

    @property
    def queries(self) -> Sequence[Query]:
        """All queries of the file that have a text, judged or not."""
        return self._file.queries

    @cached_property
    def qrels(self) -> Qrels:
        """The judgements that count: without those of empty queries, unless these score 0."""
        qrels = read_qrels(self.qrels_path)
        if self.empty_queries == "leave-out":
            for query_id in self._file.empty:
                qrels.pop(query_id, None)
        return qrels

    def report(self, monitor: Monitor) -> None:
        """Report what was understood of the queries."""
        self._file.report(monitor)

    def notes(self) -> dict[str, str]:
        """The files, for notes below tables, and what was understood of the queries."""
        files = {"queries": str(self.queries_path), "qrels": str(self.qrels_path)}
        return files | dict(self._file.notes)


def find_judged_queries(
    folder: Path | None,
    split: str,
    queries: str | None,
    qrels: str | None,
    *,
    fields: QueryFields | None = None,
    empty_queries: EmptyQueries = "leave-out",
) -> JudgedQueries:
    """Judged queries of a BEIR or ReCDS folder, or of two files; `fields` are those of queries.

    Raises UsageError unless one way is named, InputError for a folder without the split.
    """
    if folder is not None and queries is None and qrels is None:
        files = evaluation_files(folder, split)
        return JudgedQueries(files.queries, files.qrels, files.of_patients, fields, empty_queries)
    if folder is None and queries is not None and qrels is not None:
        return JudgedQueries(queries, qrels, fields=fields, empty_queries=empty_queries)
    raise UsageError(
        "give --data FOLDER, or both --queries and --qrels", hint="--data ReCDS --split dev"
    )


def check_judged_notes(
    index: PatientIndex, judged: JudgedQueries, monitor: Monitor
) -> dict[str, str]:
    """A note on the judged notes that the index lacks, which is also a warning.

    They count as not retrieved. What was left out of the queries is reported too. Raises InputError
    where none of the relevant notes (or, without any, of the judged ones) is in the index.
    """
    judged.report(monitor)
    grades: dict[str, int] = {}
    for graded in judged.qrels.values():
        for doc_id, grade in graded.items():
            grades[doc_id] = max(grade, grades.get(doc_id, grade))
    relevant = {doc_id for doc_id, grade in grades.items() if grade > 0}
    missing = {doc_id for doc_id in grades if doc_id not in index}
    if grades and missing >= (relevant or grades.keys()):
        raise InputError(
            f"{judged.qrels_path}: none of the {len(relevant or grades):,} notes judged "
            f"{'relevant is' if relevant else 'is'} in the index",
            hint="check that index and judgements are of the same notes: index info --ids",
        )
    if not missing:
        return {}
    note = (
        f"{len(missing):,} of {count_noun(len(grades), 'judged note')} not in the index "
        f"({len(missing & relevant):,} relevant): not retrieved"
    )
    monitor.warning(note)
    return {"judged notes": note}
