"""The linear method's arithmetic: a fused multiply-add, of every variant and of MergeKit."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from float32_rounding import nearest_float32
from fused import torch_fuses
from hypothesis import given
from hypothesis import strategies as st

from merger.checkpoints.values import SIZES, Values
from merger.kernels.compiled import kernel_variants
from merger.kernels.dispatch import combine, combine_many
from merger.kernels.numpy_kernels import fused_multiply_add, unpack
from merger.kernels.weighted_sums import WeightedSum
from merger.methods.linear import linear_sum

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
WEIGHTS = [(round(1 - t / 10, 10), t / 10) for t in range(1, 10)]
SIZES_ODD = (1, 7, 16, 31, 33, 4095, 4097, 9001)
TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=20), floats, st.booleans())
def test_a_fused_product_is_rounded_once(
    rows: list[tuple[float, float]], b: float, near: bool
) -> None:
    """Also where the sum cancels, and where float32 overflows or has only subnormal numbers."""
    a = np.array([row[0] for row in rows], np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = -(a * np.float32(b))
        cancelling = np.where(np.isfinite(product), product, np.float32(0))
        c = cancelling if near else np.array([row[1] for row in rows], np.float32)
        fused = fused_multiply_add(a, np.float32(b), c)
    for x, y, z in zip(a.tolist(), c.tolist(), fused.tolist(), strict=True):
        assert z == nearest_float32(Fraction(x) * Fraction(b) + Fraction(y))


@pytest.mark.parametrize("variant", [name for name in kernel_variants() if name != "numpy"])
@given(
    seed=st.integers(0, 2**32),
    count=st.sampled_from(SIZES_ODD),
    dtypes=st.lists(st.sampled_from(["BF16", "F16", "F32", "F64"]), min_size=2, max_size=4),
    out=st.sampled_from(["BF16", "F16", "F32", "F64"]),
    divisor=st.sampled_from([0.0, 1.0, 3.0, 0.99999994]),
    exponent=st.integers(-44, 38),
)
def test_every_engine_fuses_to_the_same_bits(
    variant: str, seed: int, count: int, dtypes: list[str], out: str, divisor: float, exponent: int
) -> None:
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(count) * 10.0**exponent
    inputs = [packed(-first * 1.5 if at % 2 else first, dtype) for at, dtype in enumerate(dtypes)]
    weights = tuple(rng.choice([0.0, 0.6, 0.4, 1.0], len(dtypes)).tolist())
    made = [Values.empty(count, out) for _ in range(2)]
    finite = [
        combine(inputs, WeightedSum(weights, divisor), result, variant=name)
        for result, name in zip(made, (variant, "numpy"), strict=True)
    ]
    assert finite[0] == finite[1]
    assert made[0].data.tobytes() == made[1].data.tobytes()


@pytest.mark.parametrize("variant", kernel_variants())
def test_sums_of_both_kinds_from_one_read(variant: str) -> None:
    rng = np.random.default_rng(0)
    a = packed(rng.standard_normal(5003), "F32")
    b = packed(-1.5 * unpack(a), "F32")
    sums = [WeightedSum((0.6, 0.4)), WeightedSum((0.6, 0.4), 1.0), WeightedSum((3.0, 1.0), 4.0)]
    outs = [Values.empty(5003, "F32") for _ in sums]
    assert combine_many([a, b], sums, outs, variant=variant)
    alone = Values.empty(5003, "F32")
    for each, out in zip(sums, outs, strict=True):
        combine([a, b], each, alone, variant=variant)
        assert out.data.tobytes() == alone.data.tobytes()
    assert outs[0].data.tobytes() != outs[1].data.tobytes()


def packed(numbers: Any, dtype: str) -> Values:
    tops = {"F16": 6e4, "BF16": 3e38, "F32": 3e38, "F64": 1e300}
    wide = np.clip(np.asarray(numbers, np.float64), -tops[dtype], tops[dtype])
    out = Values.empty(len(wide), dtype)
    combine([Values.from_array(wide)], [1.0], out, variant="numpy")
    return out


def by_mergekit(inputs: list[Values], weights: Any, **parameters: Any) -> Values:
    """MergeKit's linear of several tensors, by its API, in torch on the CPU."""
    torch = pytest.importorskip("torch", reason="needs the extra merge")
    pytest.importorskip("mergekit", reason="needs the extra merge")
    from mergekit.merge_methods import merge_tensors

    kind = getattr(torch, TORCH[inputs[0].dtype])
    tensors = [torch.from_numpy(each.data.copy()).view(kind) for each in inputs]
    given_ = {"weight": list(weights), **parameters}
    merged = merge_tensors(tensors, "linear", parameters=given_)
    return Values(merged.view(torch.uint8).numpy(), inputs[0].dtype)


def cancelling(rng: np.random.Generator, count: int, inputs: int, dtype: str) -> list[Values]:
    """Tensors whose weighted sums nearly cancel at some of the weights; zeros of both signs."""
    first = rng.standard_normal(count)
    first[::11] = -0.0
    arrays = [first]
    for at in range(1, inputs):
        ratio = rng.choice([-1.5, -9.0, -1 / 9, -1.0, -2 / 3], count)
        near = first * ratio * (1 + rng.standard_normal(count) * 0.01)
        arrays.append(near if at == 1 else rng.standard_normal(count) * 0.01)
    return [packed(each, dtype) for each in arrays]


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("count", SIZES_ODD)
def test_two_tensors_are_mergekit_s_bit_by_bit(count: int, dtype: str) -> None:
    if not torch_fuses():
        pytest.skip("torch rounds products on this processor")
    inputs = cancelling(np.random.default_rng(count), count, 2, dtype)
    for weights in WEIGHTS:
        for said in ({}, {"normalize": False}):
            wanted = by_mergekit(inputs, weights, **said).data.tobytes()
            for variant in kernel_variants():
                out = Values.empty(count, dtype)
                row = linear_sum(weights, divided=not said)
                assert combine(inputs, row, out, variant=variant)
                assert out.data.tobytes() == wanted


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("inputs", [3, 4, 5, 7])
def test_more_tensors_are_mergekit_s_bit_by_bit(inputs: int, dtype: str) -> None:
    if not torch_fuses():
        pytest.skip("torch rounds products on this processor")
    rng = np.random.default_rng(inputs)
    for _ in range(20):
        count = int(rng.choice(SIZES_ODD))
        tensors = cancelling(rng, count, inputs, dtype)
        weights = rng.choice([0.1, 0.2, 0.3, 0.7, 1.0, 2.5], inputs).tolist()
        out = Values.empty(count, dtype)
        assert combine(tensors, linear_sum(weights), out)
        assert out.data.tobytes() == by_mergekit(tensors, weights).data.tobytes()
        assert len(out.data) == count * SIZES[dtype]


@given(st.lists(st.floats(0, 4), min_size=2, max_size=7).filter(any))
def test_the_divisor_is_that_of_torch(weights: list[float]) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra merge")
    wanted = torch.tensor([weights], dtype=torch.float32).sum(dim=1)
    assert linear_sum(weights).divisor == float(wanted)
    assert linear_sum(weights, divided=False) == WeightedSum(tuple(weights), 1.0)
    assert linear_sum(weights, wide=True).divisor == pytest.approx(math.fsum(weights))
