"""Finds the files of a BEIR or ReCDS folder under all their published names."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from patientdx.errors import InputError
from patientdx.storage.text_files import Source, is_file, is_folder

_PACKED = ("", ".gz", ".zst")
_PPR = ("PPR", "patient2patient_retrieval")
_PAR = ("PAR", "patient2article_retrieval")
_CORPORA = (
    "corpus.jsonl",
    *(f"{ppr}/{name}" for ppr in _PPR for name in ("corpus.jsonl", "PPR_corpus.jsonl")),
    "PPR_corpus.jsonl",
    *(f"{par}/{name}" for par in _PAR for name in ("corpus.jsonl", "PAR_corpus.jsonl")),
    "PAR_corpus.jsonl",
    "benchmark/corpus.jsonl",
)
_RECDS_QUERIES = ("queries/{}_queries.jsonl", "../queries/{}_queries.jsonl")
_QUERIES = (
    *_RECDS_QUERIES,
    *("queries_{}.jsonl", "benchmark/queries_{}.jsonl"),  # CliniQ, whose splits are entities
    "queries.jsonl",
)
_PPR_QRELS = (
    *(f"{ppr}/{name}" for ppr in _PPR for name in ("qrels_{}.tsv", "PPR_{}_qrels.tsv")),
    *("qrels_{}.tsv", "PPR_{}_qrels.tsv"),
)
_QRELS = (
    *("qrels/{}.tsv", "qrels/{}.jsonl", "qrels/{}.csv"),
    *_PPR_QRELS,
    *(f"{par}/{name}" for par in _PAR for name in ("qrels_{}.tsv", "PAR_{}_qrels.tsv")),
    "PAR_{}_qrels.tsv",
    "benchmark/qrels_{}.tsv",
)


@dataclass(frozen=True)
class EvaluationFiles:
    """The files of one split of a retrieval benchmark.

    `of_patients` says that its queries are patients of the corpus's own collection (ReCDS).
    """

    queries: Path
    qrels: Path
    corpus: Path | None
    of_patients: bool = False


def find_corpus(folder: Path) -> Path | None:
    """The corpus of a BEIR or ReCDS folder, if it is of that kind."""
    return _find_file(folder, _CORPORA)


def corpus_file(folder: Source) -> Path:
    """The corpus of a BEIR or ReCDS folder. Raises InputError when there is none."""
    corpus = find_corpus(Path(folder))
    if corpus is None:
        raise InputError(
            f"{folder}: there is no corpus in this folder",
            hint=f"looked for {', '.join(_CORPORA)}, also .gz and .zst, FHIR resources, tables of "
            "notes of OMOP and MIMIC, and .txt files; or name a file",
        )
    return corpus


def queries_file(folder: Source) -> Path:
    """The queries file of a BEIR folder. Raises InputError when there is none."""
    queries = _find_file(Path(folder), ("queries.jsonl",))
    if queries is None:
        hint = "name one of its files, for instance queries/test_queries.jsonl"
        raise InputError(f"{folder}: there is no queries.jsonl in this folder", hint=hint)
    return queries


def evaluation_files(folder: Source, split: str) -> EvaluationFiles:
    """The queries, judgements and corpus of a split of a BEIR or ReCDS folder.

    Raises InputError for missing files, with a list of the available splits.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(f"{folder}: there is no such folder", hint="check the path")
    qrels = _find_file(folder, (pattern.format(split) for pattern in _QRELS))
    if qrels is None:
        splits = ", ".join(sorted(set(_splits(folder)))) or "none"
        raise InputError(
            f"{folder}: there are no judgements of a split `{split}`",
            hint=f"splits found: {splits}",
        )
    queries = _find_file(folder, (pattern.format(split) for pattern in _QUERIES))
    if queries is None:
        names = ", ".join(pattern.format(split) for pattern in _QUERIES)
        raise InputError(
            f"{folder}: there are no queries of the split `{split}`",
            hint=f"looked for {names}, also .gz and .zst",
        )
    of_patients = _is_ppr(folder, split, queries, qrels)
    return EvaluationFiles(queries, qrels, _find_file(folder, _CORPORA), of_patients)


def _is_ppr(folder: Path, split: str, queries: Path, qrels: Path) -> bool:
    """Whether the files are of ReCDS-PPR, not of PAR, whose corpus are articles."""
    return (
        queries == _find_file(folder, (pattern.format(split) for pattern in _RECDS_QUERIES))
        and qrels == _find_file(folder, (pattern.format(split) for pattern in _PPR_QRELS))
        and qrels.resolve().parent.name not in _PAR
    )


def _find_file(folder: Path, names: Iterable[str]) -> Path | None:
    paths = (folder / f"{name}{packed}" for name in names for packed in _PACKED)
    return next((path for path in paths if is_file(path)), None)


def _splits(folder: Path) -> Iterator[str]:
    """The splits for which the folder has judgements."""
    for pattern in _QRELS:
        name = re.compile(re.escape(Path(pattern).name).replace(r"\{\}", "(.+)") + r"(\.gz|\.zst)?")
        for path in (folder / pattern).parent.glob("*"):
            match = name.fullmatch(path.name)
            if match:
                yield match.group(1)
