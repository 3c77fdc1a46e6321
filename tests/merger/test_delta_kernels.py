"""The kernels of sums of differences: torch's arithmetic, and every variant, bit by bit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merger.checkpoints.values import SIZES, Values
from merger.kernels.compiled import kernel_variants
from merger.kernels.delta_sums import DeltaSum
from merger.kernels.dispatch import combine, combine_many
from merger.kernels.numpy_kernels import pack, unpack

FLOATS = ("BF16", "F16", "F32", "F64")
EXPONENTS = {"BF16": (-38, 37), "F16": (-7, 3), "F32": (-38, 37), "F64": (-300, 300)}
COMPILED = [name for name in kernel_variants() if name != "numpy"]


class Case(NamedTuple):
    """Inputs, the sum over them, and the dtype to write."""

    inputs: list[Values]
    row: DeltaSum
    dtype: str


def values(numbers: Any, dtype: str, shift: int = 0) -> Values:
    """Numbers rounded to a dtype, `shift` bytes into a buffer."""
    room = np.full(len(numbers) * SIZES[dtype] + shift, 0xA5, np.uint8)
    rounded = Values(room[shift:], dtype)
    pack(np.asarray(numbers, np.float64), rounded)
    return rounded


@st.composite
def cases(draw: st.DrawFn, *, alike: bool = False, others: int = 4) -> Case:
    """A base and some models near it or far from it; weights may be 0 or below, and add up to 0."""
    dtype = draw(st.sampled_from(FLOATS))
    count = draw(st.sampled_from([1, 2, 31, 32, 33, 4095, 4096, 4097, 9001]))
    number = draw(st.integers(1, others))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = 10.0 ** draw(st.integers(*EXPONENTS[dtype]))
    narrower = FLOATS if dtype == "F64" else ("BF16", "F16", "F32") if dtype == "F32" else (dtype,)
    start = rng.standard_normal(count)
    inputs = []
    for i in range(number + 1):
        noise = rng.standard_normal(count) * draw(st.sampled_from([0.0, 1e-3, 0.02, 1.0]))
        kind = dtype if alike else draw(st.sampled_from(narrower))
        inputs.append(values((start + noise * bool(i)) * scale, kind, draw(st.integers(0, 3))))
    base = draw(st.integers(0, number))
    inputs.insert(base, inputs.pop(0))
    weight = st.floats(-2, 2) | st.sampled_from([0.0, 1.0, -1.0, 0.4])
    weights = draw(st.lists(weight, min_size=number + 1, max_size=number + 1))
    scaled = draw(st.sampled_from([1.0, 0.3, -1.5]) | st.floats(-2, 2))
    return Case(inputs, DeltaSum(base, tuple(weights), draw(st.booleans()), scaled), dtype)


def by_torch(case: Case) -> bytes:
    """MergeKit's task arithmetic, operation by operation, in torch's arithmetic of the dtype."""
    torch: Any = pytest.importorskip("torch")
    kinds = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
    dtype = getattr(torch, kinds[case.dtype])
    tensors = [
        torch.frombuffer(bytearray(each.data), dtype=getattr(torch, kinds[each.dtype])).to(dtype)
        for each in case.inputs
    ]
    base = tensors[case.row.base]
    others = [i for i in range(len(tensors)) if i != case.row.base]
    weights = torch.tensor([case.row.weights[i] for i in others], dtype=dtype).unsqueeze(-1)
    deltas = torch.stack([tensors[i] - base for i in others]).mul_(weights)
    total, divisor = deltas.sum(dim=0), weights.sum(dim=0)
    divisor[(divisor.abs() < 1e-8) | (divisor == 0)] = 1  # MergeKit itself divides halves by 0
    if case.row.divided:
        total /= divisor
    if case.row.scale != 1:
        total *= case.row.scale
    result: bytes = (base + total).view(torch.uint8).numpy().tobytes()
    return result


def made(case: Case, variant: str | None = None, *, past_caches: bool = False) -> bytes:
    out = Values.empty(case.inputs[0].size, case.dtype)
    finite = combine(case.inputs, case.row, out, variant=variant, past_caches=past_caches)
    assert finite == bool(np.all(np.isfinite(unpack(out))))
    return out.data.tobytes()


@given(case=cases(alike=True))
def test_the_bits_are_those_of_torch(case: Case) -> None:
    assert made(case) == by_torch(case)


@pytest.mark.parametrize("variant", COMPILED)
@given(case=cases(others=6), past_caches=st.booleans())
def test_every_variant_writes_the_same_bits(variant: str, case: Case, *, past_caches: bool) -> None:
    assert made(case, variant, past_caches=past_caches) == made(case, "numpy")


@pytest.mark.parametrize("variant", kernel_variants())
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_numbers_that_are_not_finite_are_noticed(
    variant: str, dtype: str, bad: float, place: int
) -> None:
    inputs = [values(np.ones(4099), dtype) for _ in range(2)]
    broken = np.ones(4099)
    broken[4098] = bad
    inputs[place] = values(broken, dtype)
    out = Values.empty(4099, dtype)
    assert not combine(inputs, DeltaSum(0, (1.0, 0.5)), out, variant=variant)


@pytest.mark.parametrize("variant", kernel_variants())
def test_several_sums_from_one_read(variant: str) -> None:
    rng = np.random.default_rng(3)
    inputs = [values(rng.standard_normal(5000), "BF16") for _ in range(3)]
    rows: Sequence[Any] = (
        DeltaSum(1, (0.4, 1.0, 0.2)),
        (0.0, 1.0, 0.0),
        DeltaSum(1, (0.4, 1.0, 0.0)),
        DeltaSum(0, (1.0, 0.4, 0.2), divided=True, scale=0.5),
    )
    outs = [Values.empty(5000, "BF16") for _ in rows]
    assert combine_many(inputs, rows, outs, variant=variant)
    for row, out in zip(rows, outs, strict=True):
        alone = Values.empty(5000, "BF16")
        combine(inputs, row, alone, variant="numpy")
        assert out.data.tobytes() == alone.data.tobytes()
    assert outs[1].data.tobytes() == inputs[1].data.tobytes()


def test_a_model_of_weight_0_is_not_read() -> None:
    base, other = values([1.0, 2.0], "F32"), values([2.0, 4.0], "F32")
    broken = values([np.nan, np.nan], "F32")
    out = Values.empty(2, "F32")
    assert combine([base, broken, other], DeltaSum(0, (1.0, 0.0, 0.5)), out)
    assert list(unpack(out)) == [1.5, 3.0]
