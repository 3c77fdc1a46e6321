"""Reads and writes the file formats PMC-Patients, BEIR, ReCDS and TREC."""

from patientdx.storage.atomic import atomic_writer
from patientdx.storage.text_files import TextInput, open_lines

from .folders import EvaluationFiles, corpus_file, evaluation_files
from .patients import read_patients
from .queries import read_queries
from .rows import SkippedRows
from .trec import read_qrels, read_run, write_qrels, write_run

__all__ = [
    "EvaluationFiles",
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
