"""Sums of products of two tensors, and sums that make a new one, by the fastest kernels there are.

All variants of the kernels give the same bits, whatever the number of threads: native/merge.h
defines the order of additions. Tensors are bytes (`Values`). The arithmetic is float32, or float64
if an input is float64, and results are rounded once, to the nearest, ties to even.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.values import Values, dtype_code

from . import numpy_kernels
from .compiled import kernel_variants, load_native
from .delta_sums import DeltaSum, SumOrWeights
from .moments import Moments
from .numpy_kernels import CHUNK
from .weighted_sums import as_weighted_sum

_GRAIN = 4 * CHUNK  # numbers that a thread processes at a time


def measure_moments(
    a: Values, b: Values, *, pool: Executor | None = None, variant: str | None = None
) -> Moments:
    """The moments of two tensors of the same size; `pool` computes parts of them in parallel."""
    _check_sizes(a, b)

    def sum_part(start: int, stop: int) -> NDArray[np.float64]:
        return chunk_sums(a.part(start, stop), b.part(start, stop), variant=variant)

    moments = total_moments(list(_map_ranges(sum_part, a.size, pool)))
    if "F64" in {a.dtype, b.dtype} and not squares_in_range(moments):
        return _rescaled_moments(a, b)
    return moments


def chunk_sums(a: Values, b: Values, *, variant: str | None = None) -> NDArray[np.float64]:
    """Sums of a·a, b·b and a·b over every chunk of `CHUNK` numbers, shape (chunks, 3)."""
    variant = variant or kernel_variants()[0]
    a_code, b_code = dtype_code(a.dtype), dtype_code(b.dtype)
    module = load_native()
    if variant == "numpy" or module is None:
        return numpy_kernels.chunk_sums(a, b)
    sums = np.empty((-(-a.size // CHUNK), 3))
    module.moments(variant, a.data, a_code, b.data, b_code, sums)
    return sums


def total_moments(sums: Sequence[NDArray[np.float64]]) -> Moments:
    """The moments of a tensor from the sums of its chunks, in order."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.cumsum(np.concatenate([np.zeros((1, 3)), *sums]), axis=0)[-1]
    aa, bb, ab = map(float, total)
    return Moments(aa, bb, ab)


def squares_in_range(moments: Moments) -> bool:
    """False if squares of float64 numbers may have left the range of float64."""
    return all(1e-280 < squares < 1e280 for squares in (moments.aa, moments.bb))


def combine(
    inputs: Sequence[Values],
    weights: SumOrWeights,
    out: Values,
    *,
    pool: Executor | None = None,
    variant: str | None = None,
    past_caches: bool = False,
) -> bool:
    """Writes the sum of the inputs into `out`. False if some of it is not finite.

    Inputs of weight 0 are not read. A single input of weight 1 with the dtype of `out` is copied.
    With `past_caches` the output bypasses the processor's caches, for large outputs that are not
    read soon.
    """
    return combine_many(
        inputs, [weights], [out], pool=pool, variant=variant, past_caches=past_caches
    )


def combine_many(
    inputs: Sequence[Values],
    weights: Sequence[SumOrWeights],
    outs: Sequence[Values],
    *,
    pool: Executor | None = None,
    variant: str | None = None,
    past_caches: bool = False,
) -> bool:
    """Several sums from one read: `weights[i]` into `outs[i]`, all of one dtype."""
    _check_sizes(*inputs, *outs)

    def combine_range(start: int, stop: int) -> bool:
        return _combine_part(
            [values.part(start, stop) for values in inputs],
            weights,
            [out.part(start, stop) for out in outs],
            variant or kernel_variants()[0],
            past_caches=past_caches,
        )

    return all(list(_map_ranges(combine_range, outs[0].size, pool)))


def _check_sizes(*tensors: Values) -> None:
    if len({values.size for values in tensors}) > 1:
        raise ValueError("tensors, weights and outputs do not fit together")


class _Kernel(NamedTuple):
    """A kernel that makes sums of inputs, and the positions of these inputs in their order."""

    name: str
    order: tuple[int, ...]


def _combine_part(
    inputs: Sequence[Values],
    weights: Sequence[SumOrWeights],
    outs: Sequence[Values],
    variant: str,
    *,
    past_caches: bool,
) -> bool:
    module = load_native()
    if variant == "numpy" or module is None:
        finite = [_run_twin(inputs, row, out) for row, out in zip(weights, outs, strict=True)]
        return all(finite)
    calls: dict[_Kernel, list[tuple[Sequence[float], Values]]] = defaultdict(list)
    for row, out in zip(weights, outs, strict=True):
        if isinstance(row, DeltaSum):
            calls[_Kernel("deltas", row.order)].append((row.factors(out.dtype), out))
        else:
            whole = as_weighted_sum(row)
            kernel = _Kernel("combine", tuple(range(len(inputs))))
            calls[kernel].append(((*whole.weights, whole.divisor), out))
    finite = [
        _run_native(kernel, [inputs[i] for i in kernel.order], rows, variant, past_caches)
        for kernel, rows in calls.items()
    ]
    return all(finite)


def _run_twin(inputs: Sequence[Values], row: SumOrWeights, out: Values) -> bool:
    if isinstance(row, DeltaSum):
        read = [inputs[i] for i in row.order]
        return numpy_kernels.add_deltas(read, row.factors(out.dtype), out)
    return numpy_kernels.combine(inputs, as_weighted_sum(row), out)


def _run_native(
    kernel: _Kernel,
    inputs: Sequence[Values],
    rows: Sequence[tuple[Sequence[float], Values]],
    variant: str,
    past_caches: bool,
) -> bool:
    codes = bytes(dtype_code(values.dtype) for values in inputs)
    table = np.array([factors for factors, _ in rows], np.float64)
    sources = tuple(values.data for values in inputs)
    targets = tuple(out.data for _, out in rows)
    out_code = dtype_code(rows[0][1].dtype)
    function = getattr(load_native(), kernel.name)
    return bool(function(variant, sources, codes, table, targets, out_code, past_caches))


def _map_ranges(
    function: Callable[[int, int], Any], count: int, pool: Executor | None
) -> Iterator[Any]:
    """The results of a function for all ranges of a tensor, in order."""
    starts = range(0, count, _GRAIN)
    stops = [min(start + _GRAIN, count) for start in starts]
    run = map if pool is None or len(stops) < 2 else pool.map
    return iter(run(function, starts, stops))


def _rescaled_moments(a: Values, b: Values) -> Moments:
    """Moments after scaling each tensor by a power of two to below 1."""
    x, y = (numpy_kernels.unpack(values).astype(np.float64) for values in (a, b))
    largest = [float(np.max(np.abs(numbers), initial=0.0)) for numbers in (x, y)]
    if not all(map(math.isfinite, largest)):
        aa, bb = (1.0 if math.isfinite(top) else math.inf for top in largest)
        return Moments(aa, bb, 0.0)
    ea, eb = (math.frexp(top)[1] for top in largest)
    x, y = (np.ldexp(numbers, -exponent) for numbers, exponent in ((x, ea), (y, eb)))
    return Moments(float(x @ x), float(y @ y), float(x @ y), ea, eb)
