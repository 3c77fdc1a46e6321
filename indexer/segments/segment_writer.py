"""Writing a stream of patients as a segment, in bounded memory."""

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.analysis import AnalysisSettings, Analyzer
from indexer.compiled import load_native
from indexer.storage.container import ContainerWriter, SectionStream
from indexer.storage.layout import Layout
from indexer.storage.manifest import SegmentEntry, StoredFile
from patientdx.errors import InputError
from patientdx.records import Patient

from .columns import ColumnsBuilder
from .notes import FRAME_NOTES, encode_frame, make_compressor, write_ids
from .patients import PatientsBuilder
from .postings import RunCollector
from .term_counter import CompiledCounter, PythonCounter, TermCounter
from .term_writer import write_terms

CHUNK_NOTES = 1024
CHUNKS_AHEAD = 3

Progress = Callable[[int], None]


def write_segment(
    path: Path,
    patients: Iterable[Patient],
    analysis: AnalysisSettings,
    layout: Layout,
    progress: Progress | None = None,
) -> SegmentEntry:
    """Writes `patients` to the container `path` and syncs it.

    Calls `progress` with the number of notes processed so far. Raises InputError for an empty
    stream, a duplicate id or a text that is not valid Unicode, and then leaves no file behind.
    """
    writer = ContainerWriter(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".runs-", dir=path.parent) as folder:
            compiled = load_native() is not None
            counter = (CompiledCounter if compiled else PythonCounter)(Analyzer(analysis))
            runs = RunCollector(Path(folder), layout.block_docs, compiled=compiled)
            segment = _SegmentCollector(writer, layout, counter, runs)
            return segment.write(_split_chunks(patients), progress or (lambda _: None))
    except BaseException:
        writer.abandon()
        raise


class _SegmentCollector:
    """Collects the parts of a segment and writes them.

    It uses three threads: the caller's reads patients, another compresses notes, a third counts
    terms. The latter two spend most of their time outside the interpreter lock.
    """

    def __init__(
        self, writer: ContainerWriter, layout: Layout, counter: TermCounter, runs: RunCollector
    ) -> None:
        self._writer = writer
        self._layout = layout
        self._counter = counter
        self._runs = runs
        self._columns = ColumnsBuilder()
        self._patients = PatientsBuilder()
        self._ids: list[bytes] = []
        self._seen: set[bytes] = set()
        self._lengths: list[NDArray[np.uint32]] = []
        self._frames = [0]
        self._compressor = make_compressor()
        self._digest = hashlib.blake2b(digest_size=16)

    def write(self, chunks: Iterator[list[Patient]], progress: Progress) -> SegmentEntry:
        """Writes the notes as they come, then the parts that need all of them."""
        with self._writer.stream("notes", "u1") as notes:
            self._collect(chunks, notes, progress)
        if not self._ids:
            raise InputError("there are no patients to index", hint="is the source empty?")
        return self._finish(self._counter.terms)

    def _collect(
        self, chunks: Iterator[list[Patient]], notes: SectionStream, progress: Progress
    ) -> None:
        done = 0
        pending: deque[tuple[Future[list[bytes]], Future[NDArray[np.uint32]]]] = deque()

        def finish_oldest() -> None:
            nonlocal done
            frames, lengths = pending.popleft()
            for frame in frames.result():
                notes.write(frame)
                self._frames.append(notes.size)
            self._lengths.append(lengths.result())
            done += len(self._lengths[-1])
            progress(done)

        with ThreadPoolExecutor(1) as compressing, ThreadPoolExecutor(1) as counting:
            for chunk in chunks:
                self._register(chunk)
                frames = compressing.submit(self._compress, chunk)
                pending.append((frames, counting.submit(self._count, chunk)))
                if len(pending) > CHUNKS_AHEAD:
                    finish_oldest()
            while pending:
                finish_oldest()

    def _compress(self, chunk: list[Patient]) -> list[bytes]:
        """The compressed frames of a chunk; called for the chunks in order."""
        frames = []
        for start in range(0, len(chunk), FRAME_NOTES):
            content = encode_frame(chunk[start : start + FRAME_NOTES])
            self._digest.update(content)
            frames.append(self._compressor.compress(content))
        return frames

    def _count(self, chunk: list[Patient]) -> NDArray[np.uint32]:
        """Adds the postings of a chunk, returns its lengths; called for the chunks in order."""
        postings = self._counter.count([patient.full_text for patient in chunk])
        self._runs.add(postings)
        return postings.lengths

    def _register(self, chunk: list[Patient]) -> None:
        for patient in chunk:
            raw = _encode_id(patient.document_id)
            if raw in self._seen:
                kind = "note id" if patient.note_id else "id"
                raise InputError(f"duplicate {kind} `{patient.document_id}`")
            self._seen.add(raw)
            if patient.note_id and patient.note_id != patient.patient_id:
                self._patients.add(len(self._ids), _encode_id(patient.patient_id))
            self._ids.append(raw)
            self._columns.add(patient)

    def _finish(self, terms: list[str]) -> SegmentEntry:
        self._runs.flush()
        lengths = np.concatenate(self._lengths)
        writer = self._writer
        writer.add("note_offsets", np.array(self._frames, dtype=np.uint64))
        write_ids(writer, self._ids)
        self._patients.write(writer, self._ids)
        fields = self._columns.write(writer)
        writer.add("lengths", lengths)
        write_terms(writer, terms, self._runs, len(self._ids), self._layout)
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


def _encode_id(own: str) -> bytes:
    try:
        return own.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"patient {own!a}: the id is not valid Unicode (a lone surrogate)"
        ) from None


def _split_chunks(patients: Iterable[Patient]) -> Iterator[list[Patient]]:
    """Lists of CHUNK_NOTES patients each, a multiple of FRAME_NOTES."""
    remaining = iter(patients)
    while chunk := list(islice(remaining, CHUNK_NOTES)):
        yield chunk
