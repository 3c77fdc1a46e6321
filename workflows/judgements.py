"""Queries and relevance judgements, read from the files that name them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from patientdx.errors import UsageError
from patientdx.formats import evaluation_files, read_qrels, read_queries
from patientdx.records import Qrels, Query


@dataclass(frozen=True)
class JudgedQueries:
    """Files of queries and of their judgements; each is read once, when first used."""

    queries_path: Path | str
    qrels_path: Path | str

    @cached_property
    def queries(self) -> Sequence[Query]:
        """All queries of the file, judged or not."""
        return list(read_queries(self.queries_path))

    @cached_property
    def qrels(self) -> Qrels:
        """The judgements."""
        return read_qrels(self.qrels_path)

    def notes(self) -> dict[str, str]:
        """The files, for notes below tables."""
        return {"queries": str(self.queries_path), "qrels": str(self.qrels_path)}


def find_judged_queries(
    folder: Path | None, split: str, queries: str | None, qrels: str | None
) -> JudgedQueries:
    """Judged queries of a BEIR or ReCDS folder, or of two files.

    Raises UsageError unless one way is named, InputError for a folder without the split.
    """
    if folder is not None and queries is None and qrels is None:
        files = evaluation_files(folder, split)
        return JudgedQueries(files.queries, files.qrels)
    if folder is None and queries is not None and qrels is not None:
        return JudgedQueries(queries, qrels)
    raise UsageError(
        "give --data FOLDER, or both --queries and --qrels", hint="--data ReCDS --split dev"
    )
