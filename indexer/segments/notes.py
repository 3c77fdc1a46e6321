"""The stored notes of a segment, compressed in frames, and their ids."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.storage.container import ContainerReader, ContainerWriter
from patientdx.errors import IndexFolderError, InputError
from patientdx.records import Patient

if TYPE_CHECKING:
    from zstandard import ZstdCompressor

FRAME_NOTES = 16
LEVEL = 1


def encode_frame(patients: Sequence[Patient]) -> bytes:
    """Encodes up to FRAME_NOTES patients: a line of JSON metadata, then the plain texts.

    Raises InputError for a field that is not valid Unicode.
    """
    texts = [_encode(patient, patient.text) for patient in patients]
    rows = [
        _metadata_row(patient, len(text)) for patient, text in zip(patients, texts, strict=True)
    ]
    about = json.dumps(rows, ensure_ascii=False, default=str)
    try:
        return b"\n".join([about.encode("utf-8"), b"".join(texts)])
    except UnicodeEncodeError:
        for patient, row in zip(patients, rows, strict=True):
            _encode(patient, json.dumps(row, ensure_ascii=False, default=str))
        raise  # not reached: one of them must have raised


def make_compressor() -> "ZstdCompressor":
    """The compressor of frames: zstd with a checksum."""
    import zstandard

    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)


def _encode(patient: Patient, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"patient {patient.patient_id!a}: a field is not valid Unicode (a lone surrogate)"
        ) from None


def _metadata_row(patient: Patient, size: int) -> list[Any]:
    row = [
        patient.document_id,
        size,
        patient.title,
        patient.age_years,
        patient.sex,
        dict(patient.metadata),
        list(patient.derived),
    ]
    if patient.note_id or patient.date or patient.age_until is not None:
        row += [patient.patient_id if patient.note_id else "", patient.date]
    if patient.age_until is not None:
        row.append(patient.age_until)
    return row


def _decode_frame(content: bytes) -> Iterator[Patient]:
    """The inverse of `encode_frame`. Raises ValueError for damaged bytes."""
    about, _, texts = content.partition(b"\n")
    at = 0
    for document_id, size, title, age, sex, metadata, derived, *more in json.loads(about):
        text = texts[at : at + size].decode("utf-8")
        owner, date = more[:2] or ("", "")
        until = more[2] if len(more) > 2 else None
        patient_id, note_id = (owner, document_id) if owner else (document_id, "")
        known = (title, age, sex, metadata, tuple(derived))
        yield Patient(patient_id, text, *known, note_id, date, until)
        at += size


class NoteStore:
    """Reads the patients of a segment by note number."""

    def __init__(self, container: ContainerReader) -> None:
        self._path = container.path
        self._frames = container.raw("notes")
        self._offsets = container.array("note_offsets")
        self._frame = lru_cache(maxsize=64)(self._read)

    def __getitem__(self, note: int) -> Patient:
        """The patient with a note number. Raises IndexFolderError if its frame is damaged."""
        return self._frame(note // FRAME_NOTES)[note % FRAME_NOTES]

    def __iter__(self) -> Iterator[Patient]:
        for frame in range(len(self._offsets) - 1):
            yield from self._read(frame)

    def _read(self, frame: int) -> list[Patient]:
        import zstandard

        start, end = int(self._offsets[frame]), int(self._offsets[frame + 1])
        try:
            content = zstandard.ZstdDecompressor().decompress(self._frames[start:end])
            return list(_decode_frame(content))
        except (zstandard.ZstdError, ValueError, TypeError):
            raise IndexFolderError(
                f"{self._path}: the stored notes are damaged",
                hint="see `index verify`; restore the index from a copy",
            ) from None


class StoredIds:
    """The ids of the notes or patients of a segment: id by number, and number by id."""

    def __init__(
        self,
        container: ContainerReader,
        name: str,
        order: NDArray[np.uint32],
        rank: NDArray[np.uint32],
    ) -> None:
        self._path = container.path
        self._blob = container.raw(f"{name}s")
        self._offsets = container.array(f"{name}_offsets")
        self._order = order
        self.rank = rank

    @classmethod
    def of_notes(cls, container: ContainerReader) -> "StoredIds":
        """The ids of the notes."""
        return cls(container, "id", container.array("id_sorted"), container.array("id_rank"))

    @classmethod
    def of_patients(cls, container: ContainerReader) -> "StoredIds":
        """The ids of the patients, which are numbered in the order of their ids."""
        count = len(container.array("patient_id_offsets")) - 1
        numbers = np.arange(count, dtype=np.uint32)
        return cls(container, "patient_id", numbers, numbers)

    def __len__(self) -> int:
        return len(self._order)

    @cached_property
    def _sorted(self) -> NDArray[np.uint32]:
        """Numbers in order of their ids; checked on first use, as searches do not need it."""
        if len(self._order) and int(self._order.max()) >= len(self._order):
            raise self._damage_error()
        return self._order

    def __getitem__(self, note: int) -> str:
        return self._text(self._raw(note))

    def take(self, notes: NDArray[Any]) -> list[str]:
        """The ids of several notes or patients."""
        blob = self._blob
        starts, ends = self._offsets[notes].tolist(), self._offsets[notes + 1].tolist()
        return [self._text(blob[a:b]) for a, b in zip(starts, ends, strict=True)]

    def find(self, wanted: str) -> int | None:
        """The number of an id, by binary search; None if there is none."""
        low = self.count_below(wanted)
        if low < len(self._sorted) and self[int(self._sorted[low])] == wanted:
            return int(self._sorted[low])
        return None

    def in_order(self) -> list[bytes]:
        """All ids in byte order."""
        return [bytes(self._raw(number)) for number in self._sorted.tolist()]

    def count_below(self, wanted: str) -> int:
        """Number of ids that precede this one in byte order."""
        raw = wanted.encode("utf-8", "surrogatepass")
        low, high = 0, len(self._sorted)
        while low < high:
            middle = (low + high) // 2
            if bytes(self._raw(int(self._sorted[middle]))) < raw:
                low = middle + 1
            else:
                high = middle
        return low

    def with_prefix(self, prefix: str) -> list[str]:
        """The ids that begin with `prefix`."""
        matches = []
        for at in range(self.count_below(prefix), len(self._sorted)):
            match = self[int(self._sorted[at])]
            if not match.startswith(prefix):
                break
            matches.append(match)
        return matches

    def _text(self, raw: memoryview) -> str:
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            raise self._damage_error() from None

    def _damage_error(self) -> IndexFolderError:
        return IndexFolderError(
            f"{self._path}: the stored ids are damaged",
            hint="see `index verify`; restore the index from a copy",
        )

    def _raw(self, note: int) -> memoryview:
        return self._blob[int(self._offsets[note]) : int(self._offsets[note + 1])]


def write_ids(writer: ContainerWriter, ids: Sequence[bytes]) -> None:
    """Writes the sections that `StoredIds.of_notes` reads."""
    offsets = np.zeros(len(ids) + 1, dtype=np.uint64)
    np.cumsum([len(raw) for raw in ids], out=offsets[1:])
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.uint32)
    rank = np.empty(len(ids), dtype=np.uint32)
    rank[order] = np.arange(len(ids), dtype=np.uint32)
    with writer.stream("ids", "u1") as section:
        section.write(b"".join(ids))
    writer.add("id_offsets", offsets)
    writer.add("id_sorted", order)
    writer.add("id_rank", rank)
