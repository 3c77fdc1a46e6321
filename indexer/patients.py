"""The live patients of an index over all its segments: whose each note is, and their numbers."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .segments.segment import Segment

Place = tuple[int, int]
"""A note: the number of its segment, and its own within that."""


def find_note(segments: Sequence[Segment], note_id: str) -> Place | None:
    """The place of the live note with an id; None if there is none."""
    for s, segment in enumerate(segments):
        note = segment.find(note_id)
        if note is not None:
            return s, note
    return None


class PatientTable:
    """The patients of an index. Their numbers follow the byte order of their ids."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self.own_notes = any(segment.patients.are_stored for segment in segments)
        """Whether some note has an id of its own; otherwise notes are patients."""

    @cached_property
    def size(self) -> int:
        """Number of patients with a live note."""
        if not self.own_notes:
            return sum(segment.entry.live_notes for segment in self._segments)
        live = np.zeros(self._count, dtype=bool)
        for segment, numbers in zip(self._segments, self.numbers, strict=True):
            live[numbers if segment.live_mask is None else numbers[segment.live_mask]] = True
        return int(np.count_nonzero(live))

    def notes(self, patient_id: str) -> list[Place]:
        """The live notes of a patient, in the order they were added."""
        return [
            (s, note)
            for s, segment in enumerate(self._segments)
            for note in segment.find_notes(patient_id)
        ]

    def notes_of_all(self, patient_ids: Iterable[str]) -> frozenset[Place]:
        """The live notes of several patients; ids that no patient has are passed over."""
        return frozenset(place for i in patient_ids for place in self.notes(i))

    def id_of(self, place: Place) -> str:
        """The id of the patient of a note."""
        return self._segments[place[0]].patients.id_of(place[1])

    def number_of(self, place: Place) -> int:
        """The number of the patient of a note."""
        return int(self.numbers[place[0]][place[1]])

    @cached_property
    def numbers(self) -> list[NDArray[np.int64]]:
        """The number of each note's patient, by segment."""
        if len(self._segments) == 1:
            return [self._segments[0].patients.of_notes]
        ids = [segment.patients.ids.in_order() for segment in self._segments]
        numbers = {i: number for number, i in enumerate(sorted(set().union(*ids)))}
        return [
            np.array([numbers[i] for i in own], dtype=np.int64)[segment.patients.of_notes]
            for segment, own in zip(self._segments, ids, strict=True)
        ]

    @cached_property
    def _count(self) -> int:
        """One more than the largest number."""
        return 1 + max((int(numbers.max(initial=-1)) for numbers in self.numbers), default=-1)
