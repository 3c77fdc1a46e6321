"""Reading a segment: dictionary, postings, notes and columns of a memory-mapped file."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader
from indexer.storage.layout import BLOCKED, BYTE_TF_MAX, DENSE, ENTRY_TF_MAX, OFFSET_BITS, Layout
from indexer.storage.manifest import SegmentEntry
from patientdx.errors import IndexFolderError
from patientdx.records import FieldCondition, Unit

from .arrays import SegmentArrays, all_below
from .columns import Columns
from .notes import NoteStore, StoredIds
from .patients import NOTE_PATIENTS, SegmentPatients
from .postings import concatenated_ranges


class TermPostings(NamedTuple):
    """The notes that hold a term, ascending, and its frequency in each."""

    notes: NDArray[np.int64]
    tfs: NDArray[np.float64]


class Segment:
    """An immutable segment, and the notes deleted from it since."""

    def __init__(self, folder: Path, entry: SegmentEntry, layout: Layout) -> None:
        self.entry = entry
        self.layout = layout
        self.container = ContainerReader(folder / entry.file.name, entry.file.sections)
        self._deletions = (
            ContainerReader(folder / entry.deletions.name, entry.deletions.sections)
            if entry.deletions
            else None
        )
        self._check_arrays()

    @property
    def notes(self) -> int:
        """Number of notes, including deleted ones."""
        return self.entry.notes

    @cached_property
    def ids(self) -> StoredIds:
        """The ids of the notes."""
        return StoredIds.of_notes(self.container)

    @cached_property
    def patients(self) -> SegmentPatients:
        """The patients, and whose each note is."""
        return SegmentPatients(self.container, self.ids)

    @cached_property
    def store(self) -> NoteStore:
        """The stored patients."""
        return NoteStore(self.container)

    @cached_property
    def columns(self) -> Columns:
        """The columns of age, sex and metadata."""
        return Columns(self.container, self.entry.fields, self.ids, self.store)

    @cached_property
    def lengths(self) -> NDArray[np.uint32]:
        """Number of tokens of each note."""
        return self.container.array("lengths")

    @cached_property
    def deleted(self) -> NDArray[np.int64]:
        """Numbers of the deleted notes, ascending."""
        if self._deletions is None:
            return np.zeros(0, dtype=np.int64)
        return self._deletions.array("notes").astype(np.int64)

    @cached_property
    def lost_df(self) -> Mapping[int, int]:
        """Number of deleted notes that hold a term, by term number."""
        if self._deletions is None:
            return {}
        terms = self._deletions.array("terms").tolist()
        return dict(zip(terms, self._deletions.array("counts").tolist(), strict=True))

    @cached_property
    def live_mask(self) -> NDArray[np.bool_] | None:
        """Mask of the live notes; None if all are live."""
        if not len(self.deleted):
            return None
        mask = np.ones(self.notes, dtype=bool)
        mask[self.deleted] = False
        return mask

    def ids_of(self, notes: NDArray[np.int64], by: Unit) -> list[str]:
        """The ids of notes, or of their patients."""
        if by == "note" or not self.patients.are_stored:
            return self.ids.take(notes)
        return self.patients.ids.take(self.patients.of_notes[notes])

    def find(self, note_id: str) -> int | None:
        """The number of the live note with an id; None if there is none."""
        note = self.ids.find(note_id)
        return note if note is not None and self.is_live(note) else None

    def find_notes(self, patient_id: str) -> list[int]:
        """The numbers of a patient's live notes, ascending."""
        return [note for note in self.patients.notes(patient_id) if self.is_live(note)]

    def is_live(self, note: int) -> bool:
        """Whether a note has not been deleted."""
        return self.live_mask is None or bool(self.live_mask[note])

    def unreadable_notes(self, condition: FieldCondition) -> int:
        """Number of live notes whose value a comparison cannot read."""
        unreadable = self.columns.unreadable_notes(condition)
        return int(
            np.count_nonzero(unreadable if self.live_mask is None else unreadable & self.live_mask)
        )

    def term_number(self, term: str) -> int | None:
        """The number of a term in the dictionary, by binary search; None if it is not there."""
        raw = term.encode("utf-8", "surrogatepass")
        blob, offsets = self._terms
        low, high = 0, len(offsets) - 1
        while low < high:
            middle = (low + high) // 2
            if bytes(blob[offsets[middle] : offsets[middle + 1]]) < raw:
                low = middle + 1
            else:
                high = middle
        if low < len(offsets) - 1 and bytes(blob[offsets[low] : offsets[low + 1]]) == raw:
            return low
        return None

    def live_df(self, number: int) -> int:
        """Number of live notes that hold a term."""
        return int(self.arrays.df[number]) - self.lost_df.get(number, 0)

    def vocabulary(self) -> Iterator[str]:
        """All terms in byte order."""
        blob, offsets = self._terms
        for i in range(len(offsets) - 1):
            yield str(blob[offsets[i] : offsets[i + 1]], "utf-8")

    @cached_property
    def arrays(self) -> SegmentArrays:
        """The arrays of postings."""
        return SegmentArrays.read(self.container)

    def postings(self, number: int) -> TermPostings:
        """All postings of a term, of any kind."""
        arrays = self.arrays
        kind, place = int(arrays.kind[number]), int(arrays.place[number])
        if kind == BLOCKED:
            return self._blocked_postings(number, place)
        if kind == DENSE:
            tfs = self.frequencies(number)
            notes = np.flatnonzero(tfs)
            return TermPostings(notes, tfs[notes])
        end = place + int(arrays.df[number])
        notes = arrays.rare_notes[place:end].astype(np.int64)
        return TermPostings(
            notes, self._exact_frequencies(number, notes, arrays.rare_tfs[place:end], BYTE_TF_MAX)
        )

    def frequencies(self, number: int) -> NDArray[np.float64]:
        """Frequencies of a dense term in all notes, shape (notes,)."""
        place = int(self.arrays.place[number])
        tfs = self.arrays.dense_tfs[:, place].reshape(-1)[: self.notes]
        return self._exact_frequencies(number, np.arange(self.notes), tfs, BYTE_TF_MAX)

    def frequency(self, number: int, note: int) -> float:
        """Frequency of a term in a note; 0.0 if the note lacks it."""
        arrays = self.arrays
        kind, place = int(arrays.kind[number]), int(arrays.place[number])
        block, offset = divmod(note, self.layout.block_docs)
        if kind == DENSE:
            tf = int(arrays.dense_tfs[block, place, offset])
            return self._exact_frequency(number, note, tf, BYTE_TF_MAX)
        if kind == BLOCKED:
            low, high = (
                int(arrays.base[block]) + int(arrays.pointers[block, 3 * place + i]) for i in (0, 3)
            )
            entries = arrays.entries[low:high]
            at = np.flatnonzero((entries & ((1 << OFFSET_BITS) - 1)) == offset)
            tf = int(entries[at[0]] >> OFFSET_BITS) + 1 if len(at) else 0
            return self._exact_frequency(number, note, tf, ENTRY_TF_MAX)
        end = place + int(arrays.df[number])
        first = place + int(np.searchsorted(arrays.rare_notes[place:end], note))
        held = first < end and int(arrays.rare_notes[first]) == note
        return self._exact_frequency(
            number, note, int(arrays.rare_tfs[first]) if held else 0, BYTE_TF_MAX
        )

    def _exact_frequency(self, number: int, note: int, tf: int, limit: int) -> float:
        return float(self._exact_frequencies(number, np.array([note]), np.array([tf]), limit)[0])

    def _blocked_postings(self, number: int, row: int) -> TermPostings:
        arrays = self.arrays
        first = arrays.pointers[:, 3 * row].astype(np.int64)
        sizes = arrays.pointers[:, 3 * row + 3] - first
        entries = arrays.entries[np.repeat(arrays.base + first, sizes) + concatenated_ranges(sizes)]
        entries = entries.astype(np.int64)
        blocks = np.repeat(np.arange(len(sizes)), sizes)
        notes = blocks * self.layout.block_docs + (entries & ((1 << OFFSET_BITS) - 1))
        order = np.argsort(notes)
        notes, tfs = notes[order], (entries[order] >> OFFSET_BITS) + 1
        return TermPostings(notes, self._exact_frequencies(number, notes, tfs, ENTRY_TF_MAX))

    def _exact_frequencies(
        self, number: int, notes: NDArray[np.int64], tfs: NDArray[Any], limit: int
    ) -> NDArray[np.float64]:
        """Frequencies as float64; those at the `limit` of their field come from the side table."""
        exact = tfs.astype(np.float64)
        full = np.flatnonzero(tfs == limit)
        if len(full):
            keys = (np.uint64(number) << np.uint64(32)) | notes[full].astype(np.uint64)
            at = np.searchsorted(self.arrays.large_keys, keys)
            if not all_below(at, len(self.arrays.large_values)):
                raise self.damage_error()
            exact[full] = self.arrays.large_values[at]
        return exact

    @cached_property
    def _terms(self) -> tuple[memoryview, NDArray[np.int64]]:
        offsets = self.container.array("term_offsets").astype(np.int64)
        return self.container.raw("terms"), offsets

    def _check_arrays(self) -> None:
        """Raises IndexFolderError for inconsistent arrays, which the engines must never read."""
        consistent = (
            _is_ascending(self.container.array("term_offsets"))
            and _is_ascending(self.container.array("note_offsets"))
            and self.arrays.is_consistent(self.notes, self.layout)
            and self._patients_are_consistent()
            and self._deletions_are_consistent()
        )
        if not consistent:
            raise self.damage_error()

    def _patients_are_consistent(self) -> bool:
        if NOTE_PATIENTS not in self.container.sections:
            return True
        owners, offsets = map(self.container.array, (NOTE_PATIENTS, "patient_id_offsets"))
        ascending = _is_ascending(offsets)
        return ascending and len(owners) == self.notes and all_below(owners, len(offsets) - 1)

    def _deletions_are_consistent(self) -> bool:
        if self._deletions is None:
            return True
        notes, terms, counts = map(self._deletions.array, ("notes", "terms", "counts"))
        df = self.arrays.df
        known = all_below(notes, self.notes) and all_below(terms, len(df))
        return known and bool(np.all(counts <= df[terms]))

    def damage_error(self) -> IndexFolderError:
        """The error to raise for inconsistent bytes."""
        return IndexFolderError(
            f"{self.container.path}: the file is damaged",
            hint="see `index verify`; restore the index from a copy",
        )


def _is_ascending(offsets: NDArray[Any]) -> bool:
    return bool(np.all(offsets[1:] >= offsets[:-1]))
