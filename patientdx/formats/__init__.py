"""Reads patients, queries, judgements and runs of all supported formats, and writes runs."""

from patientdx.storage.atomic import atomic_writer
from patientdx.storage.text_files import TextInput, open_lines

from .folders import EvaluationFiles, corpus_file, evaluation_files
from .left_out import LeftOut
from .patients import read_patients
from .qrels import read_qrels
from .queries import read_queries
from .query_fields import QueryFields, QueryReport
from .rows import SkippedRows
from .summary import CorpusSummary
from .trec import read_run, write_qrels, write_run

__all__ = [
    "CorpusSummary",
    "EvaluationFiles",
    "LeftOut",
    "QueryFields",
    "QueryReport",
    "SkippedRows",
    "TextInput",
    "atomic_writer",
    "corpus_file",
    "evaluation_files",
    "open_lines",
    "read_patients",
    "read_qrels",
    "read_queries",
    "read_run",
    "write_qrels",
    "write_run",
]
