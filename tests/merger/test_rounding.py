"""Linear sums whose value lies beside the middle of two numbers: rounded once on every path."""

from fractions import Fraction

import numpy as np
import pytest
from float32_rounding import HardSum, hard_sums, nearest_float32

from merger.checkpoints.values import Values
from merger.kernels.compiled import kernel_variants
from merger.kernels.dispatch import combine
from merger.kernels.numpy_kernels import fused_multiply_add, unpack
from merger.kernels.weighted_sums import WeightedSum
from merger.live.live_tensors import LiveTensor
from merger.planning.merge_plan import TensorTask

CASES = list(hard_sums(40))
REPEATS = 37  # some more numbers than a vector has


def inputs_of(case: HardSum) -> tuple[Values, Values]:
    """c and a, repeated, for the weights 1 and b."""
    c, a = (np.full(REPEATS, number, np.float32) for number in (case.c, case.a))
    assert (float(c[0]), float(a[0]), float(np.float32(case.b))) == (
        case.c,
        case.a,
        case.b,
    )  # exact in float32
    return Values.from_array(c), Values.from_array(a)


def test_the_reference_rounds_to_the_nearer_number() -> None:
    for case in CASES:
        once, twice = nearest_float32(case.exact), case.rounded_twice
        assert abs(Fraction(once) - case.exact) < abs(Fraction(twice) - case.exact)
    assert {case.c > 0 for case in CASES} == {True, False}
    assert {nearest_float32(case.exact) > case.rounded_twice for case in CASES} == {True, False}


def test_numpy_rounds_a_fused_product_once() -> None:
    for case in CASES:
        a, c = np.array([case.a], np.float32), np.array([case.c], np.float32)
        result = fused_multiply_add(a, np.float32(case.b), c)
        assert result.tolist() == [nearest_float32(case.exact)]


@pytest.mark.parametrize("variant", kernel_variants())
def test_every_variant_rounds_a_linear_sum_once(variant: str) -> None:
    for case in CASES:
        out = Values.empty(REPEATS, "F32")
        assert combine(inputs_of(case), WeightedSum((1.0, case.b), 1.0), out, variant=variant)
        assert set(unpack(out).tolist()) == {nearest_float32(case.exact)}


def test_torch_rounds_a_linear_sum_once() -> None:
    """The path of a GPU, run in main memory."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from merger.live.torch_weights import DeviceWeights

    task = TensorTask("x", "F32", (REPEATS,), "linear", (0.5, 0.5))
    for case in CASES:
        live = {"x": torch.zeros(REPEATS)}
        weights = DeviceWeights(live, [LiveTensor(task, inputs_of(case), (), fixed=False)])
        weights.write({"x": WeightedSum((1.0, case.b), 1.0)})
        assert set(live["x"].tolist()) == {nearest_float32(case.exact)}
