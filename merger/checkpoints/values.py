"""The numbers of a tensor as bytes, as in a safetensors file, and the dtypes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patientdx.errors import MergeError

Bytes = NDArray[np.uint8]
"""A flat, contiguous array of bytes, at any address."""

# Bytes per number, by the dtype as safetensors spells it.
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E5M2FNUZ": 1, "F8_E4M3FNUZ": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
    "C64": 8,
}  # fmt: skip
# Bits per number of the dtypes that put several numbers into a byte, or into three.
_PACKED_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
DTYPES = frozenset(SIZES) | frozenset(_PACKED_BITS)
"""All dtypes that a safetensors file can hold."""
# Dtypes that the kernels compute with, in the order of the kinds in native/merge.h.
FLOATS = ("BF16", "F16", "F32", "F64")


_CACHE_LINE = 64  # bytes


class Values(NamedTuple):
    """Numbers in row order, little-endian, and their dtype as safetensors spells it."""

    data: Bytes
    dtype: str

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.data) // SIZES[self.dtype]

    def part(self, start: int, stop: int) -> "Values":
        """Numbers `start` to `stop`, without copying."""
        size = SIZES[self.dtype]
        return Values(self.data[start * size : stop * size], self.dtype)

    @classmethod
    def empty(cls, count: int, dtype: str) -> "Values":
        """Uninitialized memory for numbers, aligned to a cache line as torch's is."""
        size = count * SIZES[dtype]
        buffer = np.empty(size + _CACHE_LINE, np.uint8)
        start = -buffer.ctypes.data % _CACHE_LINE
        return cls(buffer[start : start + size], dtype)

    @classmethod
    def from_array(cls, array: NDArray[np.floating]) -> "Values":
        """The numbers of a NumPy array of 16, 32 or 64 bits."""
        dtype = {2: "F16", 4: "F32", 8: "F64"}[array.dtype.itemsize]
        whole = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return cls(whole.reshape(-1).view(np.uint8), dtype)


def storage_bytes(dtype: str, numbers: int) -> int:
    """Size of `numbers` values in a file. Raises ValueError if they do not fill whole bytes."""
    if dtype in SIZES:
        return numbers * SIZES[dtype]
    whole, rest = divmod(numbers * _PACKED_BITS[dtype], 8)
    if rest:
        raise ValueError(f"{numbers} numbers of {dtype} do not fill whole bytes")
    return whole


def dtype_code(dtype: str) -> int:
    """The kernels' code of a dtype. Raises MergeError for dtypes that cannot be merged."""
    if dtype not in FLOATS:
        raise MergeError(
            f"tensors of dtype {dtype} cannot be merged",
            hint="convert the weights to BF16, F16 or F32 first",
        )
    return FLOATS.index(dtype)
