"""The number types of tensors in a GGUF file, and numbers written in them.

F32, F16 and Q8_0 are written here in NumPy, with the bits of llama.cpp; the others by llama.cpp.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from patientdx.errors import MergeError

Floats = NDArray[np.float32]
"""Rows of numbers."""


class TensorType(NamedTuple):
    """A type by its name and code in GGUF: `block` numbers of a row take `nbytes` bytes."""

    name: str
    code: int
    block: int
    nbytes: int

    def size(self, numbers: int) -> int:
        """Bytes that whole rows of so many numbers take."""
        return numbers // self.block * self.nbytes

    def fits(self, row: int) -> bool:
        """Whether a row of this length is made of whole blocks."""
        return row % self.block == 0


F32 = TensorType("F32", 0, 1, 4)
F16 = TensorType("F16", 1, 1, 2)
Q5_0 = TensorType("Q5_0", 6, 32, 22)
Q5_1 = TensorType("Q5_1", 7, 32, 24)
Q8_0 = TensorType("Q8_0", 8, 32, 34)
Q4_K = TensorType("Q4_K", 12, 256, 144)
Q5_K = TensorType("Q5_K", 13, 256, 176)
Q6_K = TensorType("Q6_K", 14, 256, 210)

_LARGEST_8_BITS = np.float32(127)


class Encoder(Protocol):
    """Writes rows of numbers in a type."""

    def __call__(self, rows: Floats, into: TensorType) -> bytes:
        """The bytes of the rows. Raises MergeError for numbers that the type cannot hold."""
        ...


def encode_plain(rows: Floats, into: TensorType) -> bytes:
    """The bytes of rows in F32, F16 or Q8_0."""
    if into == F32:
        return rows.astype("<f4").tobytes()
    if into == F16:
        return _encode_halves(rows)
    if into == Q8_0:
        return _encode_q8_0(rows)
    raise ValueError(f"{into.name} is written by llama.cpp")


def _encode_halves(rows: Floats) -> bytes:
    with np.errstate(over="ignore"):
        halves = rows.astype("<f2")
    _check_halves(halves)
    return halves.tobytes()


def _encode_q8_0(rows: Floats) -> bytes:
    """Blocks of 32: the scale as a half, and 32 whole numbers from -127 to 127."""
    blocks = rows.reshape(-1, Q8_0.block)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / _LARGEST_8_BITS
    with np.errstate(divide="ignore", over="ignore"):
        factors = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
        halves = scales.astype("<f2")
    _check_halves(halves)
    scaled = blocks * factors
    magnitudes = np.abs(scaled)
    rounded = np.floor(magnitudes)
    rounded += magnitudes - rounded >= np.float32(0.5)  # halves away from zero, as in C
    whole = np.copysign(rounded, scaled).astype(np.int8)
    return np.concatenate([halves.view(np.uint8), whole.view(np.uint8)], axis=1).tobytes()


def _check_halves(halves: NDArray[np.float16]) -> None:
    if not np.isfinite(halves).all():
        raise MergeError(
            "the merge has numbers beyond the range of float16, which GGUF needs here",
            hint="merge without --gguf, or choose another type",
        )
