"""The patients of a segment, and which notes are theirs.

Only a segment with a note that has an id of its own stores its patients. In every other segment
each note is a patient, who goes by the note's id.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader, ContainerWriter

from .notes import StoredIds

NOTE_PATIENTS = "note_patients"


class SegmentPatients:
    """The patients of a segment, numbered in the byte order of their ids."""

    def __init__(self, container: ContainerReader, note_ids: StoredIds) -> None:
        self._container = container
        self._note_ids = note_ids
        self.are_stored = NOTE_PATIENTS in container.sections
        self.ids = StoredIds.of_patients(container) if self.are_stored else note_ids

    @cached_property
    def of_notes(self) -> NDArray[np.int64]:
        """The number of the patient of each note, shape (notes,)."""
        stored = self._container.array(NOTE_PATIENTS) if self.are_stored else self._note_ids.rank
        return stored.astype(np.int64)

    def id_of(self, note: int) -> str:
        """The id of the patient of a note."""
        return self.ids[int(self.of_notes[note])] if self.are_stored else self._note_ids[note]

    def notes(self, patient_id: str) -> list[int]:
        """The numbers of a patient's notes, deleted ones included; ascending."""
        number = self.ids.find(patient_id)
        if number is None:
            return []
        if not self.are_stored:
            return [number]
        order, starts = self._by_patient
        return sorted(order[starts[number] : starts[number + 1]].tolist())

    @cached_property
    def _by_patient(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Notes in order of their patients, and where each patient's begin."""
        order = np.argsort(self.of_notes, kind="stable")
        starts = np.searchsorted(self.of_notes[order], np.arange(len(self.ids) + 1))
        return order, starts


class PatientsBuilder:
    """Collects the patients of those notes of a segment that have an id of their own."""

    def __init__(self) -> None:
        self._patients: dict[int, bytes] = {}

    def add(self, note: int, patient_id: bytes) -> None:
        """Records whose note this is."""
        self._patients[note] = patient_id

    def write(self, writer: ContainerWriter, note_ids: list[bytes]) -> None:
        """Writes the sections that `SegmentPatients` reads, if any note needs them."""
        if not self._patients:
            return
        owners = [self._patients.get(note, own) for note, own in enumerate(note_ids)]
        ids = sorted(set(owners))
        numbers = {patient_id: number for number, patient_id in enumerate(ids)}
        offsets = np.zeros(len(ids) + 1, dtype=np.uint64)
        np.cumsum([len(raw) for raw in ids], out=offsets[1:])
        with writer.stream("patient_ids", "u1") as section:
            section.write(b"".join(ids))
        writer.add("patient_id_offsets", offsets)
        writer.add(NOTE_PATIENTS, np.array([numbers[i] for i in owners], dtype=np.uint32))
