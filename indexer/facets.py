"""The values of a field over all segments, each with its numbers of patients and notes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patientdx.records import Facet, Filter

from .segments.columns import resolve_field, resolve_fields
from .segments.segment import Segment


class _Tally(NamedTuple):
    """Of each note that has a value: the number of the value and that of the note's patient."""

    values: NDArray[np.int64]
    patients: NDArray[np.int64]


def field_names(segments: Sequence[Segment]) -> list[str]:
    """The names of all fields of notes, in order."""
    return sorted({name for segment in segments for name in segment.entry.fields})


def count_unreadable(segments: Sequence[Segment], where: Filter) -> list[tuple[str, int]]:
    """Fields of the conditions, with the numbers of notes whose value cannot be compared."""
    return [
        (condition.field, sum(segment.unreadable_notes(condition) for segment in segments))
        for condition in resolve_fields(where, [field_names(segments)]).conditions
    ]


def count_facets(
    segments: Sequence[Segment],
    masks: Sequence[NDArray[np.bool_] | None],
    patients: Sequence[NDArray[np.int64]],
    field: str,
) -> list[Facet]:
    """The values of a field among the notes of the masks, those of most notes first.

    `masks` (None: all notes) and `patients`, the number of each note's patient, are by segment.
    Raises InputError for a field that no note has.
    """
    name = resolve_field(field, field_names(segments))
    numbers: dict[str, int] = {}
    tallies = [
        _tally(segment, mask, own, name, numbers)
        for segment, mask, own in zip(segments, masks, patients, strict=True)
    ]
    values = np.concatenate([np.zeros(0, dtype=np.int64), *(tally.values for tally in tallies)])
    owners = np.concatenate([np.zeros(0, dtype=np.int64), *(tally.patients for tally in tallies)])
    notes = np.bincount(values, minlength=len(numbers))
    pairs = np.unique(np.stack([values, owners]), axis=1)[0]
    distinct = np.bincount(pairs, minlength=len(numbers))
    facets = [Facet(text, int(distinct[n]), int(notes[n])) for text, n in numbers.items()]
    return sorted(
        (facet for facet in facets if facet.notes), key=lambda facet: (-facet.notes, facet.value)
    )


def _tally(
    segment: Segment,
    mask: NDArray[np.bool_] | None,
    patients: NDArray[np.int64],
    field: str,
    numbers: dict[str, int],
) -> _Tally:
    values = segment.columns.field(field)
    if values is None:
        return _Tally(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    own = [numbers.setdefault(text, len(numbers)) for text in values.texts]
    has_value = np.asarray(values.codes > 0) if mask is None else (values.codes > 0) & mask
    codes = values.codes[has_value].astype(np.int64)
    return _Tally(np.array(own, dtype=np.int64)[codes - 1], patients[has_value])
