"""Sums of products of two tensors, and weighted sums of several: compiled, or NumPy.

All engines give the same bits, whatever the number of threads: see native/merge.h for the order
of additions. Tensors are bytes (`Values`); the arithmetic is float32, or float64 where an input
is of float64, and results are rounded once, to the nearest, ties to even. SLERP is MergeKit
0.1.5's: of the tensors as they are, with the cosine of the flattened pair, linear where that is
beyond ±0.9995.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.values import Values, dtype_code

from . import numpy_kernels
from .compiled import kernel_variants, load_native
from .numpy_kernels import CHUNK
from .weighted_sums import SumWeights, as_weighted_sum

THRESHOLD = 0.9995  # |cosine| beyond which SLERP is linear
SMALLEST_NORM = 1e-8  # norms up to here count as 1
_GRAIN = 4 * CHUNK  # numbers that a thread takes at a time


class Moments(NamedTuple):
    """Sums of squares and products of two tensors a and b, scaled by powers of two.

    aa·2^(2·ea) is the sum of squares of a, bb·2^(2·eb) that of b, ab·2^(ea+eb) their product. The
    exponents are 0 but for float64 tensors beyond 1e±140.
    """

    aa: float
    bb: float
    ab: float
    ea: int = 0
    eb: int = 0

    @property
    def finite(self) -> tuple[bool, bool]:
        """Whether all numbers of a are, and all of b."""
        return math.isfinite(self.aa), math.isfinite(self.bb)

    @property
    def cosine(self) -> float:
        """The cosine of a and b as SLERP takes it: a norm of 1e-8 or less counts as 1."""
        norms = 1.0
        for squares, exponent in ((self.aa, self.ea), (self.bb, self.eb)):
            small = math.ldexp(math.sqrt(squares), exponent) <= SMALLEST_NORM
            norms *= math.ldexp(1.0, -exponent) if small else math.sqrt(squares)
        return max(-1.0, min(1.0, self.ab / norms))


def moments(
    a: Values, b: Values, *, pool: Executor | None = None, variant: str | None = None
) -> Moments:
    """The moments of two tensors of as many numbers; `pool` runs parts of them in parallel."""
    _check_sizes(a, b)

    def part(start: int, stop: int) -> NDArray[np.float64]:
        return chunk_sums(a.part(start, stop), b.part(start, stop), variant=variant)

    found = total_moments(list(_map_ranges(part, a.size, pool)))
    if "F64" in {a.dtype, b.dtype} and not squares_in_range(found):
        return _rescaled_moments(a, b)
    return found


def chunk_sums(a: Values, b: Values, *, variant: str | None = None) -> NDArray[np.float64]:
    """Sums of a·a, b·b and a·b of every chunk of `CHUNK` numbers, shape (chunks, 3)."""
    variant = variant or kernel_variants()[0]
    a_kind, b_kind = dtype_code(a.dtype), dtype_code(b.dtype)
    module = load_native()
    if variant == "numpy" or module is None:
        return numpy_kernels.chunk_sums(a, b)
    sums = np.empty((-(-a.size // CHUNK), 3))
    module.moments(variant, a.data, a_kind, b.data, b_kind, sums)
    return sums


def total_moments(sums: Sequence[NDArray[np.float64]]) -> Moments:
    """The moments of a tensor from the sums of its chunks, in order."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.cumsum(np.concatenate([np.zeros((1, 3)), *sums]), axis=0)[-1]
    aa, bb, ab = map(float, total)
    return Moments(aa, bb, ab)


def squares_in_range(found: Moments) -> bool:
    """False where squares of float64 numbers may have left its range."""
    return all(1e-280 < squares < 1e280 for squares in (found.aa, found.bb))


def combine(
    inputs: Sequence[Values],
    weights: SumWeights,
    out: Values,
    *,
    pool: Executor | None = None,
    variant: str | None = None,
    past_caches: bool = False,
) -> bool:
    """Writes the weighted sum of the inputs into `out`; False where some of it is not finite.

    An input of weight 0 is not read; one input of weight 1 and the dtype of `out` is copied.
    With `past_caches` the output displaces nothing in the processor's caches: for large ones that
    nobody reads soon.
    """
    return combine_many(
        inputs, [weights], [out], pool=pool, variant=variant, past_caches=past_caches
    )


def combine_many(
    inputs: Sequence[Values],
    weights: Sequence[SumWeights],
    outs: Sequence[Values],
    *,
    pool: Executor | None = None,
    variant: str | None = None,
    past_caches: bool = False,
) -> bool:
    """Several weighted sums from one read: `weights[o]` and `outs[o]` for each, of one dtype."""
    _check_sizes(*inputs, *outs)

    def part(start: int, stop: int) -> bool:
        return _combine_part(
            [each.part(start, stop) for each in inputs],
            weights,
            [each.part(start, stop) for each in outs],
            variant or kernel_variants()[0],
            past_caches=past_caches,
        )

    return all(list(_map_ranges(part, outs[0].size, pool)))


def slerp_weights(t: float, cosine: float, *, wide: bool = False) -> tuple[float, float]:
    """The two weights of SLERP. `wide` is for float64; else t is rounded to float32 as MergeKit's.

    Where they are linear they are (1 - t, t), and (1, 0) and (0, 1) at the ends.
    """
    if not wide:
        t = float(np.float32(t))
    rest = 1.0 - t if wide else float(np.float32(1) - np.float32(t))
    if abs(cosine) > THRESHOLD or t in {0.0, 1.0}:
        return rest, t
    theta = math.acos(cosine)
    return math.sin(rest * theta) / math.sin(theta), math.sin(t * theta) / math.sin(theta)


def _check_sizes(*tensors: Values) -> None:
    if len({each.size for each in tensors}) > 1:
        raise ValueError("tensors, weights and outputs do not fit together")


def _combine_part(
    inputs: Sequence[Values],
    weights: Sequence[SumWeights],
    outs: Sequence[Values],
    variant: str,
    *,
    past_caches: bool,
) -> bool:
    kinds = bytes(dtype_code(each.dtype) for each in inputs)
    kind = dtype_code(outs[0].dtype)
    module = load_native()
    sums = [as_weighted_sum(each) for each in weights]
    if variant == "numpy" or module is None:
        done = [
            numpy_kernels.combine(inputs, each, out) for each, out in zip(sums, outs, strict=True)
        ]
        return all(done)
    table = np.array([(*each.weights, each.divisor) for each in sums], np.float64)
    sources, targets = tuple(each.data for each in inputs), tuple(each.data for each in outs)
    return bool(module.combine(variant, sources, kinds, table, targets, kind, past_caches))


def _map_ranges(
    part: Callable[[int, int], Any], count: int, pool: Executor | None
) -> Iterator[Any]:
    """`part` of all ranges of a tensor, in order."""
    starts = range(0, count, _GRAIN)
    stops = [min(start + _GRAIN, count) for start in starts]
    run = map if pool is None or len(stops) < 2 else pool.map
    return iter(run(part, starts, stops))


def _rescaled_moments(a: Values, b: Values) -> Moments:
    """Moments after scaling each tensor by a power of two to below 1."""
    x, y = (numpy_kernels.unpack(each).astype(np.float64) for each in (a, b))
    tops = [float(np.max(np.abs(each), initial=0.0)) for each in (x, y)]
    if not all(map(math.isfinite, tops)):
        aa, bb = (1.0 if math.isfinite(top) else math.inf for top in tops)
        return Moments(aa, bb, 0.0)
    ea, eb = (math.frexp(top)[1] for top in tops)
    x, y = (np.ldexp(each, -e) for each, e in ((x, ea), (y, eb)))
    return Moments(float(x @ x), float(y @ y), float(x @ y), ea, eb)
