"""Indexing a corpus file: reading patients, and building or extending an index with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.writer import add_patients, build_index, delete_from_index
from patientdx.errors import IndexFolderError, InputError
from patientdx.formats import CorpusSummary, LeftOut, SkippedRows, read_patients
from patientdx.records import Patient

from .monitor import LOG, Monitor


@dataclass(frozen=True)
class CorpusSource:
    """Where patients are read from: a file or folder ("-": stdin), and the names of its fields.

    With `skip_bad` rows that cannot be used are left out and counted, not refused.
    """

    path: str
    id_field: str | None = None
    text_field: str | None = None
    title_field: str | None = None
    patient_field: str | None = None
    age_field: str | None = None
    sex_field: str | None = None
    date_field: str | None = None
    value_maps: tuple[str, ...] = ()
    skip_bad: bool = False


@dataclass(frozen=True)
class IndexingResult:
    """The index after a change, and what was understood, skipped and left out of the corpus."""

    index: Index
    skipped: SkippedRows
    left_out: LeftOut
    summary: CorpusSummary


def _facts(
    source: CorpusSource, skipped: SkippedRows, left_out: LeftOut, summary: CorpusSummary
) -> dict[str, Any]:
    """What the index remembers of a source that was read to its end."""
    unusable = {"rows that cannot be used": skipped.count} if skipped.count else {}
    return {
        "source": source.path,
        **summary.facts(),
        "left_out": {**unusable, **left_out.counts},
    }


def build_from_corpus(
    source: CorpusSource,
    into: Path,
    *,
    analysis: AnalysisSettings,
    bm25: BM25Settings,
    replace_existing: bool = False,
    monitor: Monitor = LOG,
) -> IndexingResult:
    """Index a corpus. Raises InputError for one without patients, before a folder is made."""
    skipped, left_out, summary = SkippedRows(), LeftOut(), CorpusSummary()
    patients = _read_patients(source, skipped, left_out, summary)
    with monitor.progress("indexing") as report:
        index = build_index(
            into,
            patients,
            analysis=analysis,
            bm25=bm25,
            corpus=(source.path,),
            replace_existing=replace_existing,
            progress=report,
            understood=lambda: _facts(source, skipped, left_out, summary),
        )
    return IndexingResult(index, skipped, left_out, summary)


def add_corpus(
    source: CorpusSource, folder: Path, *, update: bool = False, monitor: Monitor = LOG
) -> IndexingResult:
    """Add the notes of a corpus to an index; with `update` they replace those of their patients."""
    skipped, left_out, summary = SkippedRows(), LeftOut(), CorpusSummary()
    patients = _read_patients(source, skipped, left_out, summary)
    with monitor.progress("adding") as report:
        index = add_patients(
            folder,
            patients,
            update=update,
            corpus=(source.path,),
            progress=report,
            understood=lambda: _facts(source, skipped, left_out, summary),
        )
    return IndexingResult(index, skipped, left_out, summary)


def delete_by_ids(
    folder: Path, patient_ids: Sequence[str], note_ids: Sequence[str]
) -> tuple[Index, Index]:
    """Delete patients with all their notes, and single notes; the index before and after."""
    before = Index.open(folder)
    return before, delete_from_index(folder, patient_ids, note_ids)


def count_stored_patients(folder: Path) -> int | None:
    """The number of patients of an index; None for one that is too damaged to open."""
    try:
        return Index.open(folder).patient_count
    except IndexFolderError:
        return None


def _read_patients(
    source: CorpusSource, skipped: SkippedRows, left_out: LeftOut, summary: CorpusSummary
) -> Iterator[Patient]:
    patients = read_patients(
        source.path,
        id_field=source.id_field,
        text_field=source.text_field,
        title_field=source.title_field,
        patient_field=source.patient_field,
        age_field=source.age_field,
        sex_field=source.sex_field,
        date_field=source.date_field,
        value_maps=source.value_maps,
        skip_bad=skipped if source.skip_bad else None,
        left_out=left_out,
        summary=summary,
    )
    # The first patient is read before an index is touched: most wrong files fail by then.
    first = next(patients, None)
    if first is None:
        name = "stdin" if source.path == "-" else source.path
        reasons = [*skipped.messages[:1], *left_out.lines()]
        reason = f"left out: {'; '.join(reasons)}" if reasons else "is it the right file?"
        raise InputError(f"{name}: there are no patients in it", hint=reason)
    return chain([first], patients)
