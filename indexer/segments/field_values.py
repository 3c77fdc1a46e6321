"""A metadata field of a segment: its distinct values, and which of them each note has."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader, ContainerWriter
from patientdx.errors import IndexFolderError

from .arrays import all_below

LONGEST_VALUE = 256
"""Bytes; of a longer value the hash is stored, so that it can be compared for equality."""
LONG_VALUE = "(a long text)"


def encode_value(value: Any) -> bytes:
    """The stored form of a value: its text or, of a long one, a zero byte and a hash."""
    raw = str(value).encode("utf-8", "surrogatepass")
    if len(raw) <= LONGEST_VALUE and not raw.startswith(b"\0"):
        return raw
    return b"\0" + hashlib.blake2b(raw, digest_size=16).digest()


class FieldBuilder:
    """Collects the values of a field, note by note; notes may be left out."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._notes = array("I")
        self._values = array("I")

    def add(self, note: int, value: Any) -> None:
        """Appends the value of a note."""
        number = self._numbers.setdefault(encode_value(value), len(self._numbers))
        self._notes.append(note)
        self._values.append(number)

    def finish(self, notes: int) -> tuple[list[bytes], NDArray[np.uint32]]:
        """The distinct values in byte order, and the code of each of so many notes."""
        values = sorted(self._numbers)
        code_of_number = np.zeros(len(values), dtype=np.uint32)
        code_of_number[[self._numbers[value] for value in values]] = np.arange(1, len(values) + 1)
        codes = np.zeros(notes, dtype=np.uint32)
        codes[np.frombuffer(self._notes, dtype=np.uint32)] = code_of_number[
            np.frombuffer(self._values, dtype=np.uint32)
        ]
        return values, codes


class FieldValues:
    """The values of a field in a segment: value 0 has the code 1; 0 is that of no value.

    `codes` has shape (notes,).
    """

    def __init__(self, values: Sequence[bytes | memoryview], codes: NDArray[np.uint32]) -> None:
        self._raw = values
        self.codes = codes

    def __len__(self) -> int:
        return len(self._raw)

    @cached_property
    def texts(self) -> list[str]:
        """The distinct values, in byte order."""
        return [_decode(bytes(raw)) for raw in self._raw]

    def code(self, value: Any) -> int:
        """The code of a value, by binary search; 0 if no note has it."""
        raw = encode_value(value)
        low, high = 0, len(self._raw)
        while low < high:
            middle = (low + high) // 2
            if bytes(self._raw[middle]) < raw:
                low = middle + 1
            else:
                high = middle
        return low + 1 if low < len(self._raw) and bytes(self._raw[low]) == raw else 0

    def notes_with(self, value: Any) -> NDArray[np.bool_]:
        """Mask of the notes that have a value, shape (notes,)."""
        code = self.code(value)
        return np.asarray(self.codes == code) if code else np.zeros(len(self.codes), dtype=bool)

    def verdicts(self, judge: Callable[[str], bool | None]) -> NDArray[np.int8]:
        """What `judge` says of the value of each note: 1 yes, 0 no or no value, -1 None."""
        judged = np.zeros(len(self) + 1, dtype=np.int8)
        for number, text in enumerate(self.texts):
            verdict = judge(text)
            judged[number + 1] = -1 if verdict is None else verdict
        return judged[self.codes]


class _StoredValues(Sequence[memoryview]):
    """The values of a container, each a view of its bytes."""

    def __init__(self, blob: memoryview, offsets: NDArray[np.uint64]) -> None:
        self._blob = blob
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: Any) -> Any:
        if number >= len(self):
            raise IndexError(number)
        return self._blob[int(self._offsets[number]) : int(self._offsets[number + 1])]


def write_field(writer: ContainerWriter, number: int, field: FieldBuilder, notes: int) -> None:
    """Writes the sections that `read_field` reads, as the field of a number."""
    values, codes = field.finish(notes)
    offsets = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    with writer.stream(f"values_{number}", "u1") as section:
        section.write(b"".join(values))
    writer.add(f"value_offsets_{number}", offsets)
    writer.add(f"codes_{number}", codes)


def has_dictionary(container: ContainerReader, number: int) -> bool:
    """Whether a field is stored with its values: index format version 3 does, 2 did not."""
    return f"codes_{number}" in container.sections


def read_field(container: ContainerReader, number: int, notes: int) -> FieldValues:
    """The field of a number. Raises IndexFolderError for inconsistent arrays."""
    blob = container.raw(f"values_{number}")
    offsets = container.array(f"value_offsets_{number}")
    codes = container.array(f"codes_{number}")
    consistent = (
        len(codes) == notes
        and len(offsets) > 0
        and bool(np.all(offsets[1:] >= offsets[:-1]))
        and int(offsets[-1]) <= len(blob)
        and all_below(codes, len(offsets))
    )
    if not consistent:
        raise IndexFolderError(
            f"{container.path}: the stored values of a field are damaged",
            hint="see `index verify`; restore the index from a copy",
        )
    return FieldValues(_StoredValues(blob, offsets), codes)


def field_of_notes(values: Iterable[Any]) -> FieldValues:
    """The field of notes whose values (None: no value) are read one by one."""
    field, notes = FieldBuilder(), 0
    for note, value in enumerate(values):
        notes += 1
        if value is not None:
            field.add(note, value)
    return FieldValues(*field.finish(notes))


def _decode(raw: bytes) -> str:
    return LONG_VALUE if raw.startswith(b"\0") else raw.decode("utf-8", "replace")
