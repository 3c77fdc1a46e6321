"""Writing a segment: patients in, one container out, in bounded memory."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from patientdx.errors import InputError
from patientdx.records import Patient

from .analysis import AnalysisSettings, Analyzer
from .columns import ColumnsBuilder
from .container import ContainerWriter
from .counting import CompiledCounter, PythonCounter, TermCounter
from .layout import Layout
from .manifest import SegmentEntry, StoredFile
from .notes import FRAME_NOTES, frame_of, write_ids
from .postings import RunCollector
from .term_writer import write_terms

CHUNK_NOTES = 1024
COMPILED_FROM = 8_000_000
"""Characters of text from which the compiled counter pays for loading its kernels."""

Progress = Callable[[int], None]


def write_segment(
    path: Path,
    patients: Iterable[Patient],
    analysis: AnalysisSettings,
    layout: Layout,
    progress: Progress | None = None,
) -> SegmentEntry:
    """Writes all of `patients` to the container `path` and syncs it.

    Calls `progress` with the number of notes taken so far. Raises InputError for an empty
    stream, a duplicate id or a text that is not valid Unicode; nothing is left behind then.
    """
    writer = ContainerWriter(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".runs-", dir=path.parent) as folder:
            return _Segment(writer, layout, RunCollector(Path(folder))).write(
                patients, analysis, progress or (lambda _: None)
            )
    except BaseException:
        writer.abandon()
        raise


class _Segment:
    """The parts of a segment while it is being collected."""

    def __init__(self, writer: ContainerWriter, layout: Layout, runs: RunCollector) -> None:
        self._writer = writer
        self._layout = layout
        self._runs = runs
        self._columns = ColumnsBuilder()
        self._ids: list[bytes] = []
        self._seen: set[bytes] = set()
        self._lengths: list[np.ndarray] = []
        self._frames = [0]
        self._digest = hashlib.blake2b(digest_size=16)

    def write(
        self, patients: Iterable[Patient], analysis: AnalysisSettings, progress: Progress
    ) -> SegmentEntry:
        """Collects, then writes what needs the whole."""
        counter, chunks = _counter_for(_chunks(patients), Analyzer(analysis))
        with self._writer.stream("notes", "u1") as notes:
            for chunk in chunks:
                self._take(chunk)
                for start in range(0, len(chunk), FRAME_NOTES):
                    notes.write(frame_of(chunk[start : start + FRAME_NOTES]))
                    self._frames.append(notes.size)
                counts = counter.count([patient.full_text for patient in chunk])
                self._runs.add(counts)
                self._lengths.append(counts.lengths)
                progress(len(self._ids))
        if not self._ids:
            raise InputError("there are no patients to index", hint="is the source empty?")
        return self._finish(counter.terms)

    def _take(self, chunk: list[Patient]) -> None:
        for patient in chunk:
            try:
                raw = patient.patient_id.encode("utf-8")
                self._digest.update(raw + b"\0" + patient.full_text.encode("utf-8") + b"\0")
            except UnicodeEncodeError:
                raise InputError(
                    f"patient {patient.patient_id!a}: the text is not valid Unicode "
                    "(a lone surrogate)"
                ) from None
            if raw in self._seen:
                raise InputError(f"duplicate id `{patient.patient_id}`")
            self._seen.add(raw)
            self._ids.append(raw)
            self._columns.add(patient)

    def _finish(self, terms: list[str]) -> SegmentEntry:
        self._runs.flush()
        lengths = np.concatenate(self._lengths)
        writer = self._writer
        writer.add("note_offsets", np.array(self._frames, dtype=np.uint64))
        write_ids(writer, self._ids)
        fields = self._columns.write(writer)
        writer.add("lengths", lengths)
        write_terms(writer, terms, self._runs.runs, len(self._ids), self._layout)
        writer.close()
        sections = {section.name: section for section in writer.sections}
        return SegmentEntry(
            file=StoredFile(writer.path.name, sections),
            fields=fields,
            notes=len(self._ids),
            live_notes=len(self._ids),
            live_tokens=int(lengths.sum(dtype=np.int64)),
            corpus_digest=self._digest.hexdigest(),
        )


def _chunks(patients: Iterable[Patient]) -> Iterator[list[Patient]]:
    """Lists of CHUNK_NOTES patients, a multiple of the notes in a frame."""
    rest = iter(patients)
    while chunk := list(islice(rest, CHUNK_NOTES)):
        yield chunk


def _counter_for(
    chunks: Iterator[list[Patient]], analyzer: Analyzer
) -> tuple[TermCounter, Iterator[list[Patient]]]:
    """The compiled counter where there is much text, else the plain one; all chunks again."""
    ahead: list[list[Patient]] = []
    characters = 0
    for chunk in chunks:
        ahead.append(chunk)
        characters += sum(len(patient.text) for patient in chunk)
        if characters >= COMPILED_FROM:
            return CompiledCounter(analyzer), chain(ahead, chunks)
    return PythonCounter(analyzer), iter(ahead)
