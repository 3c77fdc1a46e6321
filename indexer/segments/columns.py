"""Columns of age, sex and metadata, and the filters that read them."""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader, ContainerWriter
from patientdx.errors import InputError
from patientdx.records import Filter, Patient

from .notes import StoredIds

_AGE_UNTIL = "age_until"
SEX_CODES = {"F": 1, "M": 2}


def value_hash(value: Any) -> int:
    """64-bit BLAKE2b hash of a metadata value as text; never 0, which means "no such field"."""
    digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") | 1


class ColumnsBuilder:
    """Collects the columns of a segment, note by note."""

    def __init__(self) -> None:
        self._ages = array("d")
        self._oldest: dict[int, float] = {}
        self._sexes = bytearray()
        self._fields: dict[str, tuple[array[int], array[int]]] = {}

    def add(self, patient: Patient) -> None:
        """Appends the values of the next note."""
        note = len(self._ages)
        age = patient.age_years
        self._ages.append(float("nan") if age is None else age)
        if patient.age_until is not None:
            self._oldest[note] = patient.age_until
        self._sexes.append(SEX_CODES.get(patient.sex or "", 0))
        for field, value in patient.metadata.items():
            if value is not None:
                notes, hashes = self._fields.setdefault(field, (array("Q"), array("Q")))
                notes.append(note)
                hashes.append(value_hash(value))

    def write(self, writer: ContainerWriter) -> tuple[str, ...]:
        """Writes the columns; returns the metadata fields in the order of their columns."""
        writer.add("age", np.array(self._ages, dtype=np.float64))
        if self._oldest:
            oldest = np.array(self._ages, dtype=np.float64)
            oldest[list(self._oldest)] = list(self._oldest.values())
            writer.add(_AGE_UNTIL, oldest)
        writer.add("sex", np.frombuffer(self._sexes, dtype=np.uint8))
        names = tuple(sorted(self._fields))
        for i, name in enumerate(names):
            column = np.zeros(len(self._ages), dtype=np.uint64)
            notes, hashes = (
                np.frombuffer(values, dtype=np.uint64) for values in self._fields[name]
            )
            column[notes] = hashes
            writer.add(f"field_{i}", column)
        return names


class Columns:
    """The columns of a segment, for filtering its notes."""

    def __init__(self, container: ContainerReader, fields: Sequence[str], ids: StoredIds) -> None:
        self._container = container
        self._fields = {name: f"field_{i}" for i, name in enumerate(fields)}
        self._ids = ids

    def matching_notes(self, where: Filter) -> NDArray[np.bool_]:
        """Mask of the notes that pass a filter, shape (notes,)."""
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
        for patient_id in where.exclude_ids:
            note = self._ids.find(patient_id)
            if note is not None:
                keep[note] = False
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

    def _field_equals(self, field: str, value: str) -> NDArray[np.bool_]:
        section = self._fields.get(field)
        if section is None:
            return np.zeros(len(self._ids), dtype=bool)
        return np.asarray(self._container.array(section) == np.uint64(value_hash(value)))


def check_fields(where: Filter, segments: Sequence[Sequence[str]]) -> None:
    """Raises InputError for a field of the filter that no note of the index has."""
    known = {name for fields in segments for name in fields}
    conditions: Mapping[str, str] = dict((*where.where, *where.exclude_where))
    for field in conditions:
        if field not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(f"no note has a field `{field}`", hint=f"fields here: {listed}")
