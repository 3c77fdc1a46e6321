"""Containers: files of several arrays, which store segments and deletions.

A container is a sequence of sections, each a little-endian array that starts at a multiple of
64 bytes; the zero padding up to the next section belongs to it. Offsets, types and checksums
(BLAKE2b, 16 bytes) are in the manifest. Readers map the file into memory and copy nothing.
"""

import hashlib
import mmap
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patientdx.errors import IndexFolderError
from patientdx.storage.durable import flush_and_sync

ALIGNMENT = 64
_CHUNK = 1 << 20
_REPAIR = "restore the index from a copy, or build it again with `index build --replace`"


@dataclass(frozen=True)
class Section:
    """Position of an array in its file. `size` is in bytes, without padding."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: str

    def to_json(self) -> dict[str, Any]:
        """The section as stored in the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Section":
        """The inverse of `to_json`."""
        return cls(**{**data, "shape": tuple(data["shape"])})


class SectionStream:
    """An open section, to which arrays of its type (or bytes) are appended."""

    def __init__(self, writer: "ContainerWriter", dtype: np.dtype[Any]) -> None:
        self._writer = writer
        self._dtype = dtype
        self.size = 0

    def write(self, data: NDArray[Any] | bytes) -> None:
        """Appends bytes, or an array after conversion to the section's type."""
        raw = data if isinstance(data, bytes) else np.ascontiguousarray(data, self._dtype).tobytes()
        self._writer.put(raw)
        self.size += len(raw)


class ContainerWriter:
    """Writes a container from front to back. `close` syncs it to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sections: list[Section] = []
        self._file = path.open("wb")
        self._hash = hashlib.blake2b(digest_size=16)
        self._position = 0

    def put(self, raw: bytes) -> None:
        """Appends bytes to the open section."""
        self._file.write(raw)
        self._hash.update(raw)
        self._position += len(raw)

    @contextmanager
    def stream(
        self, name: str, dtype: str, shape_tail: tuple[int, ...] = ()
    ) -> Iterator[SectionStream]:
        """Opens a section that is written in pieces; their sizes give its first dimension."""
        kind = np.dtype(dtype).newbyteorder("<")
        offset = self._position
        self._hash = hashlib.blake2b(digest_size=16)
        section = SectionStream(self, kind)
        yield section
        self.put(bytes(-self._position % ALIGNMENT))
        row = kind.itemsize * int(np.prod(shape_tail, dtype=np.int64))
        shape = (section.size // row if row else 0, *shape_tail)
        self.sections.append(
            Section(name, kind.str, shape, offset, section.size, self._hash.hexdigest())
        )

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Writes an array as a section."""
        with self.stream(name, array.dtype.str, array.shape[1:]) as section:
            for start in range(0, len(array), _CHUNK):
                section.write(array[start : start + _CHUNK])

    def close(self) -> None:
        """Flushes and syncs the file, so that it survives a power cut."""
        flush_and_sync(self._file)
        self._file.close()

    def abandon(self) -> None:
        """Closes and removes the unfinished file."""
        with suppress(OSError):  # on a full disk, the buffer cannot be written
            self._file.close()
        self.path.unlink(missing_ok=True)


class ContainerReader:
    """Maps a container. Raises IndexFolderError if the file is missing or has another size."""

    def __init__(self, path: Path, sections: Mapping[str, Section]) -> None:
        self.path = path
        self.sections = sections
        expected = max((_padded_end(section) for section in sections.values()), default=0)
        self._map, self._handle = _open_mapped(path, expected)
        # A later commit may remove the file: this descriptor keeps the mapped data readable.
        weakref.finalize(self, os.close, self._handle)

    def array(self, name: str) -> NDArray[Any]:
        """A section, as a read-only array over the mapped file."""
        section = self.sections[name]
        count = int(np.prod(section.shape, dtype=np.int64))
        flat = np.frombuffer(self._map, section.dtype, count, section.offset)
        return flat.reshape(section.shape)

    def raw(self, name: str) -> memoryview:
        """The bytes of a section."""
        section = self.sections[name]
        return memoryview(self._map)[section.offset : section.offset + section.size]

    def damaged_sections(self) -> list[str]:
        """Names of the sections that do not match their checksum."""
        view = memoryview(self._map)
        return [
            name
            for name, section in self.sections.items()
            if _checksum(view, section) != section.checksum
        ]


def _padded_end(section: Section) -> int:
    return section.offset + section.size + -(section.offset + section.size) % ALIGNMENT


def _checksum(view: memoryview, section: Section) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for start in range(section.offset, _padded_end(section), _CHUNK):
        digest.update(view[start : min(start + _CHUNK, _padded_end(section))])
    return digest.hexdigest()


def _open_mapped(path: Path, expected: int) -> tuple[mmap.mmap | bytes, int]:
    """Maps a file; returns the map and an open descriptor of the file."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise IndexFolderError(f"{path}: a file of the index is missing", hint=_REPAIR) from None
    except OSError as error:
        raise IndexFolderError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _map_descriptor(path, handle, expected), handle
    except BaseException:
        os.close(handle)
        raise


def _map_descriptor(path: Path, handle: int, expected: int) -> mmap.mmap | bytes:
    try:
        size = os.fstat(handle).st_size
        mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise IndexFolderError(f"{path}: cannot be read ({error.strerror})") from None
    if size != expected:
        message = f"{path}: the file has {size:,} bytes where {expected:,} were committed"
        raise IndexFolderError(message, hint=_REPAIR)
    return mapped
