"""Reads and composes the headers of safetensors files.

A file has eight bytes with the length of the header, the header (JSON: name -> dtype, shape, begin
and end of its data, and strings under `__metadata__`), and then the data without gaps.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.errors import InputError

from .values import DTYPES, storage_bytes

_LONGEST = 100_000_000  # bytes of a header that the safetensors library accepts
_REMEDY = "copy or fetch the file again"


class TensorInfo(NamedTuple):
    """A tensor in a file; `offset` is counted from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int

    @property
    def numbers(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return storage_bytes(self.dtype, self.numbers)


class Slot(NamedTuple):
    """A tensor in a file that is to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return storage_bytes(self.dtype, math.prod(self.shape))


def read_header(path: Path) -> list[TensorInfo]:
    """The tensors of a file, in the order of their data.

    Raises InputError for a header that is cut or wrong, and for a file whose size does not match
    its header.
    """
    raw, size = _raw_header(path)
    entries = _parse_header(path, raw)
    start = 8 + len(raw)
    infos = [_parse_entry(path, name, entry, start) for name, entry in entries.items()]
    infos.sort(key=lambda info: (info.offset, info.nbytes))
    end = start
    for info in infos:
        if info.offset != end:
            raise _damaged(path, f"tensor `{info.name}` overlaps another or leaves a gap")
        end += info.nbytes
    if end > size:
        raise InputError(
            f"{path}: the file is cut: {size:,} bytes of {end:,} are there", hint=_REMEDY
        )
    if end < size:
        raise _damaged(path, f"{size - end:,} bytes belong to no tensor")
    return infos


def compose_header(slots: Iterable[Slot], metadata: Mapping[str, str]) -> tuple[bytes, list[int]]:
    """The bytes before the data of a new file, and the offset of each tensor in the file.

    The data follow in the order of `slots`; the header is padded with blanks to a multiple of 8.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begins, end = [], 0
    for slot in slots:
        begins.append(end)
        end += slot.nbytes
        entries[slot.name] = {
            "dtype": slot.dtype,
            "shape": list(slot.shape),
            "data_offsets": [begins[-1], end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, [start + begin for begin in begins]


def _raw_header(path: Path) -> tuple[bytes, int]:
    """The header as bytes, and the size of the file."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > size - 8:
                raise _damaged(path, "the file is shorter than its header")
            if length > _LONGEST:
                raise _damaged(path, f"its header would have {length:,} bytes")
            return stream.read(length), size
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}", hint=_REMEDY) from None


def _parse_header(path: Path, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            raise _damaged(path, "a name appears twice in the header")
        return entry

    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise _damaged(path, "the header is not JSON") from None
    if not isinstance(entries, dict):
        raise _damaged(path, "the header is not a JSON object")
    entries.pop("__metadata__", None)
    return entries


def _parse_entry(path: Path, name: str, entry: Any, start: int) -> TensorInfo:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"the entry of tensor `{name}` is incomplete") from None
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _damaged(path, f"tensor `{name}` has the unknown dtype {dtype!r}")
    if not isinstance(shape, list) or not all(map(_is_size, [*shape, begin, end])):
        raise _damaged(path, f"tensor `{name}` has sizes that are not whole numbers")
    info = TensorInfo(name, dtype, tuple(shape), path, start + begin)
    if not _fills(info, end - begin):
        raise _damaged(path, f"tensor `{name}` has a shape that its data do not fill")
    return info


def _fills(info: TensorInfo, nbytes: int) -> bool:
    """Whether the shape of a tensor takes exactly these bytes."""
    try:
        return info.nbytes == nbytes
    except ValueError:
        return False


def _is_size(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 62


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: not a valid safetensors file: {what}", hint=_REMEDY)
