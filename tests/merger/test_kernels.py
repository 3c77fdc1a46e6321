"""The merge kernels: against float64 formulas, and every variant against NumPy, bit by bit."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merger.checkpoints.values import SIZES, Values
from merger.kernels.compiled import kernel_variants, load_native
from merger.kernels.dispatch import (
    chunk_sums,
    combine,
    combine_many,
    measure_moments,
    total_moments,
)
from merger.kernels.moments import Moments
from merger.kernels.numpy_kernels import CHUNK, unpack
from merger.methods.slerp import slerp_weights
from patientdx.errors import MergeError

COMPILED = [name for name in kernel_variants() if name != "numpy"]
FLOATS = ("BF16", "F16", "F32", "F64")
# Numbers of every size that a dtype has, the smallest and the largest among them.
TOPS = {"BF16": 3.3e38, "F16": 65504.0, "F32": 3.4e38, "F64": 1.7e308}
SCALES = {"BF16": (-44, 38), "F16": (-9, 4), "F32": (-44, 38), "F64": (-300, 300)}
ULPS = {"BF16": 2.0**-8, "F16": 2.0**-11, "F32": 2.0**-24, "F64": 2.0**-53}
SMALLEST = {"BF16": 2.0**-134, "F16": 2.0**-25, "F32": 2.0**-150, "F64": 0.0}


def values(numbers: Any, dtype: str, shift: int = 0) -> Values:
    """Numbers rounded to a dtype, `shift` bytes into a buffer."""
    wide = np.asarray(numbers, np.float64)
    out = unaligned(len(wide), dtype, shift)
    assert combine([Values.from_array(wide)], [1.0], out, variant="numpy") or not np.all(
        np.isfinite(wide)
    )
    return out


def unaligned(count: int, dtype: str, shift: int) -> Values:
    room = np.full(count * SIZES[dtype] + shift, 0xA5, np.uint8)
    return Values(room[shift:], dtype)


def exact(values: Values) -> np.ndarray:
    return unpack(values).astype(np.float64)


def same(left: Values, right: Values) -> bool:
    return left.data.tobytes() == right.data.tobytes()


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[str, ...] = FLOATS) -> tuple[Values, Values]:
    """Two tensors: random ones of any size and length, zero, parallel, antipodal."""
    count = draw(st.sampled_from([1, 2, 31, 32, 33, 4095, 4096, 4097, 9001]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = [draw(st.sampled_from(dtypes)) for _ in range(2)]
    scales = [10.0 ** draw(st.integers(*SCALES[kind])) for kind in kinds]
    a = rng.standard_normal(count)
    b = {
        "random": rng.standard_normal(count),
        "near": a + rng.standard_normal(count) * 0.02,
        "parallel": a * 2,
        "antipodal": -a,
        "zero": np.zeros(count),
    }[draw(st.sampled_from(["random", "near", "parallel", "antipodal", "zero"]))]
    sides = [
        values(np.clip(x * scale, -TOPS[kind], TOPS[kind]), kind, draw(st.integers(0, 3)))
        for x, scale, kind in zip((a, b), scales, kinds, strict=True)
    ]
    return sides[0], sides[1]


def long_norm(x: np.ndarray) -> float:
    """The norm, without overflow or underflow."""
    top = float(np.max(np.abs(x), initial=0.0))
    return top * math.sqrt(math.fsum((x / top) ** 2)) if top else 0.0


def true_cosine(x: np.ndarray, y: np.ndarray) -> float:
    """The definition of merging.md, section 1, in float64."""
    x, y = (each / (norm if (norm := long_norm(each)) > 1e-8 else 1.0) for each in (x, y))
    return max(-1.0, min(1.0, math.fsum(x * y)))


@given(tensors())
def test_the_cosine_is_that_of_float64(pair: tuple[Values, Values]) -> None:
    a, b = pair
    result = measure_moments(a, b)
    assert result.finite == (True, True)
    x, y = exact(a), exact(b)
    # Norms at the limit of 1e-8 may fall on either side.
    if not any(0.999e-8 < long_norm(each) < 1.001e-8 for each in (x, y)):
        assert result.cosine == pytest.approx(true_cosine(x, y), abs=3e-7)
    for squares, exponent, each in ((result.aa, result.ea, x), (result.bb, result.eb, y)):
        norm = math.ldexp(math.sqrt(squares), exponent)
        assert norm == pytest.approx(long_norm(each), rel=3e-7)


@pytest.mark.parametrize("variant", COMPILED)
@given(pair=tensors())
def test_every_engine_sums_to_the_same_bits(variant: str, pair: tuple[Values, Values]) -> None:
    expected = chunk_sums(*pair, variant="numpy")
    assert np.array_equal(chunk_sums(*pair, variant=variant), expected, equal_nan=True)


@pytest.mark.parametrize("variant", COMPILED)
@given(
    pair=tensors(),
    dtype=st.sampled_from(FLOATS),
    weights=st.lists(
        st.floats(-2, 2, width=32) | st.sampled_from([0.0, 1.0]), min_size=2, max_size=2
    ),
)
def test_every_engine_writes_the_same_bits(
    variant: str, pair: tuple[Values, Values], dtype: str, weights: list[float]
) -> None:
    outs = [unaligned(pair[0].size, dtype, 1) for _ in range(2)]
    finite = [
        combine(pair, weights, out, variant=name)
        for out, name in zip(outs, (variant, "numpy"), strict=True)
    ]
    assert finite[0] == finite[1]
    assert same(*outs)


@given(pair=tensors(), dtype=st.sampled_from(FLOATS), t=st.floats(0, 1))
def test_a_weighted_sum_is_within_an_ulp_of_float64(
    pair: tuple[Values, Values], dtype: str, t: float
) -> None:
    a, b = pair
    out = Values.empty(a.size, dtype)
    finite = combine(pair, [1 - t, t], out)
    terms = [(1 - t) * exact(a), t * exact(b)]
    total = terms[0] + terms[1]
    assert finite or np.any(np.abs(total) > 0.99 * TOPS[dtype])
    if finite:
        # Float32 rounds weights, products and the sum; subnormals have steps of their own.
        wide = "F64" in {a.dtype, b.dtype}
        rounding = (2.0**-52 if wide else 2.0**-22) * (np.abs(terms[0]) + np.abs(terms[1]))
        steps = 2 * SMALLEST[dtype] + (0 if wide else 4 * SMALLEST["F32"])
        assert np.all(np.abs(exact(out) - total) <= ULPS[dtype] * np.abs(total) + rounding + steps)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_all_halves_go_through_float32_and_back(dtype: str) -> None:
    """Every number of 16 bits, also signed zeros, subnormals, infinities and what is no number."""
    every = Values(np.arange(65536, dtype="<u2").view(np.uint8), dtype)
    out = Values.empty(65536, dtype)
    for variant in kernel_variants():
        assert not combine([every], [1.0], out, variant=variant)
        missing = np.isnan(unpack(every))
        assert np.array_equal(np.isnan(unpack(out)), missing)
        kept, given_ = (each.data.view("<u2")[~missing] for each in (out, every))
        assert np.array_equal(kept, given_)


@pytest.mark.parametrize("variant", kernel_variants())
def test_rounding_is_to_nearest_ties_to_even_as_in_torch(variant: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 300_000, dtype=np.uint32)
    bits[:100_000] &= 0xFFFF8000  # halfway between two bfloat16
    bits[100_000:200_000] &= 0xFFFFF000  # and between two float16
    numbers = bits.view(np.float32)
    numbers = numbers[np.isfinite(numbers)]
    source = Values.from_array(numbers)
    for dtype, name in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        out = Values.empty(len(numbers), dtype)
        combine([source], [1.0], out, variant=variant)
        expected = torch.from_numpy(numbers.copy()).to(name).view(torch.int16).numpy()
        assert np.array_equal(out.data.view(np.int16), expected)


@pytest.mark.parametrize("variant", kernel_variants())
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 4095, 4096, 5000])
def test_numbers_that_are_not_finite_are_noticed(
    variant: str, dtype: str, bad: float, place: int
) -> None:
    numbers = np.random.default_rng(1).standard_normal(5001)
    good = values(numbers, dtype)
    numbers[place] = bad
    damaged = values(numbers, dtype)
    out = Values.empty(5001, dtype)
    assert measure_moments(good, good, variant=variant).finite == (True, True)
    assert measure_moments(damaged, good, variant=variant).finite == (False, True)
    assert measure_moments(good, damaged, variant=variant).finite == (True, False)
    assert combine([good, good], [0.5, 0.5], out, variant=variant)
    assert not combine([good, damaged], [0.5, 0.5], out, variant=variant)
    assert not combine([damaged], [1.0], out, variant=variant)


@pytest.mark.parametrize("variant", kernel_variants())
def test_a_sum_beyond_the_dtype_is_noticed(variant: str) -> None:
    big = values([60000.0, 1.0], "F16")
    out = Values.empty(2, "F16")
    assert combine([big, big], [0.5, 0.5], out, variant=variant)
    assert not combine([big, big], [1.0, 0.2], out, variant=variant)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("variant", kernel_variants())
def test_the_ends_are_the_inputs_bit_by_bit(variant: str, dtype: str) -> None:
    numbers = np.random.default_rng(2).standard_normal(4133)
    numbers[::7] = -0.0
    a, b = values(numbers, dtype), values(-2 * numbers, dtype)
    out = Values.empty(4133, dtype)
    for t, expected in ((0.0, a), (1.0, b)):
        combine([a, b], slerp_weights(t, measure_moments(a, b).cosine), out, variant=variant)
        assert same(out, expected)


@pytest.mark.parametrize("variant", kernel_variants())
@pytest.mark.parametrize("dtypes", [("BF16",) * 5, ("F32", "BF16", "F16", "F32"), ("F64", "BF16")])
def test_many_sums_of_many_tensors_from_one_read(variant: str, dtypes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    inputs = [values(rng.standard_normal(5003), dtype, 1) for dtype in dtypes]
    weights = rng.uniform(-1, 1, (6, len(inputs)))
    outs = [Values.empty(5003, "F32") for _ in weights]
    assert combine_many(inputs, weights.tolist(), outs, variant=variant)
    for row, out in zip(weights, outs, strict=True):
        expected = sum(weight * exact(each) for weight, each in zip(row, inputs, strict=True))
        assert np.allclose(exact(out), expected, rtol=0, atol=2e-6)
        alone = Values.empty(5003, "F32")
        combine(inputs, row.tolist(), alone, variant="numpy")
        assert same(out, alone)


@pytest.mark.parametrize("variant", kernel_variants())
@pytest.mark.parametrize("shift", [0, 2, 62])
@pytest.mark.parametrize("count", [1, 31, 4096, 3 * 4096 + 77])
def test_writing_past_the_caches_changes_no_bit_and_nothing_beside(
    variant: str, shift: int, count: int
) -> None:
    rng = np.random.default_rng(count)
    a, b = (values(rng.standard_normal(count), "BF16") for _ in range(2))
    near, room = Values.empty(count, "BF16"), unaligned(count + 120, "BF16", 0)
    begin = 8 + (shift - room.data[16:].ctypes.data) % 64 // 2
    far = room.part(begin, begin + count)
    assert far.data.ctypes.data % 64 == shift % 64
    assert combine([a, b], [0.3, 0.7], near, variant=variant)
    assert combine([a, b], [0.3, 0.7], far, variant=variant, past_caches=True)
    assert np.array_equal(near.data, far.data)
    beside = np.concatenate([room.part(0, begin).data, room.part(begin + count, count + 120).data])
    assert np.all(beside == 0xA5)


def test_threads_change_no_bit() -> None:
    rng = np.random.default_rng(4)
    count = 5 * CHUNK + 77
    a, b = (Values.from_array(rng.standard_normal(count).astype(np.float32)) for _ in range(2))
    outs = [Values.empty(count, "BF16") for _ in range(2)]
    with ThreadPoolExecutor(3) as pool:
        assert measure_moments(a, b, pool=pool) == measure_moments(a, b)
        combine([a, b], [0.3, 0.7], outs[0], pool=pool)
    combine([a, b], [0.3, 0.7], outs[1])
    assert same(*outs)
    pieces = [
        chunk_sums(a.part(i, i + CHUNK), b.part(i, i + CHUNK)) for i in range(0, count, CHUNK)
    ]
    assert total_moments(pieces) == measure_moments(a, b)
    x, y = exact(a), exact(b)
    assert measure_moments(a, b).cosine == pytest.approx(
        x @ y / math.sqrt((x @ x) * (y @ y)), abs=1e-9
    )


@given(t=st.floats(0, 1), cosine=st.floats(-1, 1))
def test_the_weights_of_slerp(t: float, cosine: float) -> None:
    wide = slerp_weights(t, cosine, wide=True)
    if abs(cosine) > 0.9995:
        assert wide == (1 - t, t)
    else:
        theta = math.acos(cosine)
        expected = [
            math.sin((1 - t) * theta) / math.sin(theta),
            math.sin(t * theta) / math.sin(theta),
        ]
        assert wide == pytest.approx(expected, abs=1e-12)
        # A point of the great circle: unit vectors with this cosine give a unit vector.
        assert wide[0] ** 2 + wide[1] ** 2 + 2 * wide[0] * wide[1] * cosine == pytest.approx(1)
    assert slerp_weights(t, cosine) == pytest.approx(wide, abs=1e-5)


def test_the_ends_have_weights_of_zero_and_one() -> None:
    for cosine in (-1.0, -0.3, 0.0, 0.7, 0.9999):
        assert slerp_weights(0.0, cosine) == (1.0, 0.0)
        assert slerp_weights(1.0, cosine) == (0.0, 1.0)


def test_tiny_and_empty_tensors() -> None:
    nothing = values([], "BF16")
    assert measure_moments(nothing, nothing) == Moments(0.0, 0.0, 0.0)
    assert measure_moments(nothing, nothing).cosine == 0.0
    assert combine([nothing, nothing], [0.5, 0.5], Values.empty(0, "BF16"))
    small = values([1e-9], "F32")  # a norm of 1e-8 or less counts as 1
    assert abs(measure_moments(small, small).cosine) < 1e-15


def test_what_does_not_fit_together_is_refused() -> None:
    a, b = values([1.0, 2.0], "F32"), values([1.0], "F32")
    module = load_native()
    if module is not None:
        for variant in COMPILED:
            with pytest.raises(ValueError, match="do not fit together"):
                chunk_sums(a, b, variant=variant)
            with pytest.raises(ValueError, match="do not fit together"):
                combine([a, b], [0.5, 0.5], Values.empty(2, "F32"), variant=variant)
            with pytest.raises(ValueError, match="do not fit together"):
                combine([a, a], [0.5], Values.empty(2, "F32"), variant=variant)
            with pytest.raises(ValueError, match="do not fit together"):
                combine([a, a], [0.5, 0.5], Values.empty(1, "F32"), variant=variant)
            with pytest.raises(ValueError, match="do not fit together"):
                measure_moments(a, b, variant=variant)
        with pytest.raises(ValueError, match="no variant `z80`"):
            chunk_sums(a, a, variant="z80")
    with pytest.raises(MergeError, match="dtype I64 cannot be merged"):
        measure_moments(Values(a.data, "I64"), Values(a.data, "I64"))


def test_the_compiled_kernels_are_there_in_a_checkout_that_built_them() -> None:
    if load_native() is None:
        pytest.skip("the compiled kernels were not built")
    assert kernel_variants()[-2:] == ("plain", "numpy")
