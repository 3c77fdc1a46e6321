"""The layout of a GGUF file: metadata, the list of tensors, then their data.

Version 3, little-endian, as https://github.com/ggml-org/ggml/blob/master/docs/gguf.md defines it.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .tensor_types import TensorType

ALIGNMENT = 32  # bytes; the data and every tensor start at a multiple of it
_MAGIC, _VERSION = b"GGUF", 3

Value: TypeAlias = (
    bool | int | float | str | Sequence[str] | NDArray[np.int32] | NDArray[np.float32]
)
Metadata: TypeAlias = Mapping[str, Value]
"""Values by key: whole numbers become uint32, others float32."""


class _Code(IntEnum):
    """The codes of the types of values."""

    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9


class TensorEntry(NamedTuple):
    """A tensor of the file; `shape` is in the order of torch, the length of a row last."""

    name: str
    type: TensorType
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.type.size(int(np.prod(self.shape, dtype=np.int64)))


class Layout(NamedTuple):
    """The bytes before the data, the offset of each tensor in the file, and the file's size."""

    header: bytes
    offsets: tuple[int, ...]
    size: int


def lay_out(metadata: Metadata, tensors: Sequence[TensorEntry]) -> Layout:
    """The layout of a file with these tensors in this order."""
    starts, end = [], 0
    for tensor in tensors:
        starts.append(end)
        end = _align(end + tensor.nbytes)
    parts = [_MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    parts += [_text(key) + _value(value) for key, value in metadata.items()]
    parts += [_entry(tensor, start) for tensor, start in zip(tensors, starts, strict=True)]
    header = b"".join(parts)
    header += bytes(_align(len(header)) - len(header))
    return Layout(header, tuple(len(header) + start for start in starts), len(header) + end)


def _align(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _entry(tensor: TensorEntry, start: int) -> bytes:
    dimensions = tensor.shape[::-1]
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return _text(tensor.name) + shape + struct.pack("<IQ", tensor.type.code, start)


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _Code.BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _Code.UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _Code.FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _Code.STRING) + _text(value)
    if isinstance(value, np.ndarray):
        code = _Code.INT32 if value.dtype == np.int32 else _Code.FLOAT32
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        return _array(code, len(value)) + data
    return _array(_Code.STRING, len(value)) + b"".join(_texts(value))


def _array(code: _Code, count: int) -> bytes:
    return struct.pack("<IIQ", _Code.ARRAY, code, count)


def _texts(values: Iterable[str]) -> Iterable[bytes]:
    return (_text(value) for value in values)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
