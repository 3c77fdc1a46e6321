"""The kernels in NumPy, with the same bits as the compiled ones: native/merge.h defines both.

Sums: lanes of float32 over blocks of 4,096 numbers; the lanes are added in float64 by halves,
blocks and chunks in order. Weighted sums: float32 (float64 if an input is), products rounded or
fused as `WeightedSum` defines, the result rounded once to its dtype, ties to even.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.values import Bytes, Values

from .weighted_sums import WeightedSum

BLOCK = 4096
LANES = 32
CHUNK = 256 * BLOCK
FLOOR, CEILING = 1e-30, 1e36

Floats = NDArray[Any]


def unpack(values: Values) -> Floats:
    """The numbers as float32; numbers of float64 stay float64."""
    data = values.data
    if values.dtype == "BF16":
        return (_view_as(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if values.dtype == "F16":
        return _view_as(data, "<f2").astype(np.float32)
    return _view_as(data, "<f4" if values.dtype == "F32" else "<f8")


def pack(numbers: Floats, out: Values) -> bool:
    """Writes numbers rounded to the dtype of `out`. True if all of them are finite there."""
    with np.errstate(over="ignore", invalid="ignore"):
        if out.dtype == "F64":
            packed = numbers.astype("<f8")
        elif out.dtype == "BF16":
            packed = _round_to_bf16(numbers.astype(np.float32))
        else:  # halves by way of float32, as PyTorch rounds
            packed = numbers.astype(np.float32).astype("<f2" if out.dtype == "F16" else "<f4")
    out.data[:] = packed.view(np.uint8)
    if out.dtype == "BF16":
        return not bool(np.any((packed & 0x7FFF) >= 0x7F80))
    return bool(np.all(np.isfinite(packed)))


def chunk_sums(a: Values, b: Values) -> NDArray[np.float64]:
    """Sums of a·a, b·b and a·b over every chunk, shape (chunks, 3)."""
    starts = range(0, a.size, CHUNK)
    sums = [_chunk_sum(a.part(i, i + CHUNK), b.part(i, i + CHUNK)) for i in starts]
    return np.array(sums, np.float64).reshape(-1, 3)


def combine(inputs: Sequence[Values], row: WeightedSum, out: Values) -> bool:
    """Writes the weighted sum of the inputs. True if all of it is finite."""
    wide = any(values.dtype == "F64" for values in inputs)
    real: type[Any] = np.float64 if wide else np.float32
    total = np.zeros(out.size, real)
    first = not row.divisor
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        for values, weight in zip(inputs, row.weights, strict=True):
            if not weight:  # adding nothing keeps the sign of a zero
                continue
            numbers = unpack(values).astype(real, copy=False)
            if row.divisor and not wide:
                total = fused_multiply_add(numbers, np.float32(weight), total)
            else:
                term = numbers * real(weight)
                total = term if first else total + term
            first = False
        if row.divisor:
            total = total / real(row.divisor)
    return pack(total, out)


def add_deltas(inputs: Sequence[Values], row: Sequence[float], out: Values) -> bool:
    """Writes a base plus weighted differences from it. True if all of it is finite.

    `inputs` begins with the base; `row` has the factors of the others, a divisor (0: none) and a
    scale, as `DeltaSum.factors` returns them.
    """
    wide = any(values.dtype == "F64" for values in (*inputs, out))
    real: type[Any] = np.float64 if wide else np.float32
    dtype = "F64" if wide else out.dtype
    *weights, divisor, scale = row
    base, *others = (unpack(values).astype(real, copy=False) for values in inputs)
    total = np.zeros(out.size, real)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for numbers, weight in zip(others, weights, strict=True):
            delta = _round_to(numbers - base, dtype)
            total = total + _round_to(delta * real(weight), dtype)
        total = _round_to(total, dtype)
        if divisor:
            total = _round_to(total / real(divisor), dtype)
        if scale != 1:
            total = _round_to(total * real(scale), dtype)
        return pack(base + total, out)


def fused_multiply_add(
    a: NDArray[np.float32], b: np.float32, c: NDArray[np.float32]
) -> NDArray[np.float32]:
    """a·b + c of float32, rounded once.

    In float64 the product is exact. An inexact sum is rounded to odd: to the neighbour of the exact
    sum whose last bit is 1, which rounds to float32 as the exact sum would (Boldo and Melquiond
    2008).
    """
    product, addend = a.astype(np.float64) * np.float64(b), c.astype(np.float64)
    total = product + addend
    added = total - product
    error = (product - (total - added)) + (addend - added)  # exact, by Knuth's TwoSum
    bits = total.view(np.int64)
    inexact_even = ((error > 0) | (error < 0)) & (bits & 1 == 0)
    bits += np.where(inexact_even, np.where((error > 0) == (total > 0), 1, -1), 0)
    return total.astype(np.float32)


def _round_to(numbers: Floats, dtype: str) -> Floats:
    """Numbers rounded to a dtype that is no wider than theirs."""
    if dtype in {"F32", "F64"}:
        return numbers
    rounded = Values.empty(len(numbers), dtype)
    pack(numbers, rounded)
    return unpack(rounded)


def _view_as(data: Bytes, dtype: str) -> NDArray[Any]:
    return np.frombuffer(data.tobytes(), dtype)


def _round_to_bf16(numbers: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = numbers.view(np.uint32)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = (bits + up) >> np.uint32(16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(is_nan, quiet, rounded).astype("<u2")


def _chunk_sum(a: Values, b: Values) -> Floats:
    x, y = _blocks(a), _blocks(b)
    if np.float64 in {x.dtype.type, y.dtype.type}:
        return _add_in_order(_block_sums(x, y, np.float64))
    sums = _block_sums(x, y, np.float32)
    with np.errstate(invalid="ignore"):
        fits = np.all((sums[:, :2] >= FLOOR) & (sums[:, :2] <= CEILING), axis=1)
    if not np.all(fits):
        sums[~fits] = _block_sums(x[~fits], y[~fits], np.float64)
    return _add_in_order(sums)


def _blocks(values: Values) -> Floats:
    """The numbers as (blocks, rows, lanes), the last block filled with zeros."""
    numbers = unpack(values)
    blocks = -(-len(numbers) // BLOCK)
    whole = np.zeros(blocks * BLOCK, numbers.dtype)
    whole[: len(numbers)] = numbers
    return whole.reshape(blocks, BLOCK // LANES, LANES)


def _block_sums(x: Floats, y: Floats, real: type[Any]) -> NDArray[np.float64]:
    x, y = x.astype(real, copy=False), y.astype(real, copy=False)
    sums = np.empty((len(x), 3), np.float64)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for column, (left, right) in enumerate(((x, x), (y, y), (x, y))):
            lanes = np.zeros((len(x), LANES), real)
            for row in range(BLOCK // LANES):
                lanes += left[:, row] * right[:, row]
            sums[:, column] = _fold_lanes(lanes.astype(np.float64))
    return sums


def _fold_lanes(lanes: NDArray[np.float64]) -> NDArray[np.float64]:
    half = LANES // 2
    while half:
        lanes = lanes[:, :half] + lanes[:, half:]
        half //= 2
    return lanes[:, 0]


def _add_in_order(sums: NDArray[np.float64]) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.cumsum(sums, axis=0)[-1] if len(sums) else np.zeros(3)
