"""Columns of age, sex and metadata, and the filters that read them."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader, ContainerWriter
from patientdx.errors import InputError
from patientdx.records import FieldCondition, Filter, Patient

from .field_values import (
    FieldBuilder,
    FieldValues,
    field_of_notes,
    has_dictionary,
    read_field,
    write_field,
)
from .notes import NoteStore, StoredIds

_AGE_UNTIL = "age_until"
SEX_CODES = {"F": 1, "M": 2}
DATE_FIELD = "date"
"""The name under which the date of a note is compared, unless its metadata has such a field."""
_ALSO_CALLED = {"notetype": ("category",)}
"""Names that tables have for a field, folded: MIMIC-III calls the type of a note CATEGORY."""

_BUILT_IN = {
    "sex": "filter by --sex F or --sex M; index info counts who has a sex",
    "age": "filter by --age 60-80; index info counts who has an age",
    "ageyears": "filter by --age 60-80; index info counts who has an age",
    "patientid": "list the ids by index info --ids; similar PATIENT searches by one",
    "noteid": "list hits by note with --by note; similar --note ID searches by one",
}
"""What to do instead with facts of patients that are no fields of notes, by folded name."""


def value_hash(value: Any) -> int:
    """64-bit BLAKE2b hash of a metadata value as text; never 0, which means "no such field".

    Index format version 2 stored these in place of values.
    """
    digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") | 1


class ColumnsBuilder:
    """Collects the columns of a segment, note by note."""

    def __init__(self) -> None:
        self._ages = array("d")
        self._oldest: dict[int, float] = {}
        self._sexes = bytearray()
        self._fields: dict[str, FieldBuilder] = {}

    def add(self, patient: Patient) -> None:
        """Appends the values of the next note."""
        note = len(self._ages)
        age = patient.age_years
        self._ages.append(float("nan") if age is None else age)
        if patient.age_until is not None:
            self._oldest[note] = patient.age_until
        self._sexes.append(SEX_CODES.get(patient.sex or "", 0))
        for field, value in field_values(patient).items():
            if value is not None:
                self._fields.setdefault(field, FieldBuilder()).add(note, value)

    def write(self, writer: ContainerWriter) -> tuple[str, ...]:
        """Writes the columns; returns the metadata fields in the order of their columns."""
        writer.add("age", np.array(self._ages, dtype=np.float64))
        if self._oldest:
            oldest = np.array(self._ages, dtype=np.float64)
            oldest[list(self._oldest)] = list(self._oldest.values())
            writer.add(_AGE_UNTIL, oldest)
        writer.add("sex", np.frombuffer(self._sexes, dtype=np.uint8))
        names = tuple(sorted(self._fields))
        for number, name in enumerate(names):
            write_field(writer, number, self._fields[name], len(self._ages))
        return names


def field_values(patient: Patient) -> dict[str, Any]:
    """The fields of a note that filters compare: its metadata and its date."""
    date = {DATE_FIELD: patient.date} if patient.date else {}
    return {**date, **patient.metadata}


class Columns:
    """The columns of a segment, for filtering its notes."""

    def __init__(
        self,
        container: ContainerReader,
        fields: Sequence[str],
        ids: StoredIds,
        store: NoteStore,
    ) -> None:
        self._container = container
        self._numbers = {name: number for number, name in enumerate(fields)}
        self._ids = ids
        self._store = store
        self._read_notes = lru_cache(maxsize=8)(self._field_of_notes)

    def matching_notes(self, where: Filter) -> NDArray[np.bool_]:
        """Mask of the notes that pass a filter, shape (notes,), but for the ids it excludes."""
        keep = np.ones(len(self._ids), dtype=bool)
        if where.sex is not None:
            if where.sex not in SEX_CODES:
                raise InputError(f"a filter on sex takes F or M, not `{where.sex}`")
            keep &= self._container.array("sex") == SEX_CODES[where.sex]
        if where.age is not None:
            keep &= self._age_between(*where.age)
        for field, value in where.where:
            keep &= self._field_equals(field, value)
        for field, value in where.exclude_where:
            keep &= ~self._field_equals(field, value)
        for condition in where.conditions:
            keep &= self._passing(condition)
        return keep

    def _age_between(self, low: float | None, high: float | None) -> NDArray[np.bool_]:
        """Notes whose age lies in a range, and of those with a range of ages all of it."""
        until = _AGE_UNTIL if _AGE_UNTIL in self._container.sections else "age"
        with np.errstate(invalid="ignore"):  # damaged bytes may be a signalling NaN
            ages = np.floor(self._container.array("age"))
            oldest = np.floor(self._container.array(until))
        known: NDArray[np.bool_] = ~np.isnan(ages)
        if low is not None:
            known &= ages >= low
        if high is not None:
            known &= oldest <= high
        return known

    def field(self, name: str) -> FieldValues | None:
        """The values of a field; None where no note of the segment has it.

        In a segment of index format version 2 all notes are read for them.
        """
        number = self._numbers.get(name)
        if number is None:
            return None
        if has_dictionary(self._container, number):
            return read_field(self._container, number, len(self._ids))
        return self._read_notes(name)

    def unreadable_notes(self, condition: FieldCondition) -> NDArray[np.bool_]:
        """Mask of the notes whose value a comparison cannot read, shape (notes,)."""
        return np.asarray(self._verdicts(condition) < 0)

    def _passing(self, condition: FieldCondition) -> NDArray[np.bool_]:
        if condition.equal_texts is None:
            return np.asarray(self._verdicts(condition) > 0)
        keep = np.zeros(len(self._ids), dtype=bool)
        for text in condition.equal_texts:
            keep |= self._field_equals(condition.field, text)
        return keep

    def _verdicts(self, condition: FieldCondition) -> NDArray[np.int8]:
        values = self.field(condition.field)
        if values is None:
            return np.zeros(len(self._ids), dtype=np.int8)
        return values.verdicts(condition.matches)

    def _field_equals(self, field: str, value: str) -> NDArray[np.bool_]:
        number = self._numbers.get(field)
        if number is None:
            return np.zeros(len(self._ids), dtype=bool)
        if has_dictionary(self._container, number):
            return read_field(self._container, number, len(self._ids)).notes_with(value)
        hashes = self._container.array(f"field_{number}")
        return np.asarray(hashes == np.uint64(value_hash(value)))

    def _field_of_notes(self, name: str) -> FieldValues:
        return field_of_notes(field_values(patient).get(name) for patient in self._store)


def resolve_fields(where: Filter, segments: Sequence[Sequence[str]]) -> Filter:
    """The filter with the fields of its conditions as the index spells them.

    Case, blanks and separators do not matter in the name of a field. Raises InputError for a field
    of the filter that no note of the index has, or that could be several.
    """
    known = sorted({name for fields in segments for name in fields})
    for field, _ in (*where.where, *where.exclude_where):
        if field not in known:
            raise _unknown_field(field, known)
    resolved = (c.of_field(resolve_field(c.field, known)) for c in where.conditions)
    return replace(where, conditions=tuple(resolved))


def resolve_field(wanted: str, known: Sequence[str]) -> str:
    """The field of a name as the index spells it. Raises InputError."""
    if wanted in known:
        return wanted
    names = (wanted, *_ALSO_CALLED.get(_folded(wanted), ()))
    for name in names:
        alike = [field for field in known if _folded(field) == _folded(name)]
        if len(alike) > 1:
            choices = ", ".join(f"`{field}`" for field in alike)
            raise InputError(f"`{wanted}` could be {choices}", hint="write it as one of these")
        if alike:
            return alike[0]
    raise _unknown_field(wanted, known)


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _unknown_field(field: str, known: Sequence[str]) -> InputError:
    option = _BUILT_IN.get(_folded(field))
    if option is not None:
        return InputError(f"`{field}` is not among the fields of notes", hint=option)
    listed = ", ".join(known) or "none"
    return InputError(f"no note has a field `{field}`", hint=f"fields here: {listed}")
