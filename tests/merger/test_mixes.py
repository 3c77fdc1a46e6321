"""Weights of mixes against the formulas they stand for, written out on vectors of float64."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from merger.checkpoints.values import Values
from merger.kernels.delta_sums import TensorSum
from merger.kernels.dispatch import measure_moments
from merger.kernels.pair_moments import PairMoments
from merger.kernels.weighted_sums import WeightedSum
from merger.live.points import resolve_point
from merger.methods.method import TensorWeights
from merger.methods.registry import compute_sum
from patientdx.errors import MergeError

Vector = NDArray[np.float64]
numbers = st.floats(-1, 1, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-3)
scales = st.sampled_from([1e-6, 1.0, 1e3])


@st.composite
def vectors(draw: st.DrawFn, most: int = 4) -> list[Vector]:
    """Vectors of one length; some parallel, antipodal or zero."""
    count, size = draw(st.integers(2, most)), draw(st.integers(1, 12))
    row = st.lists(numbers, min_size=size, max_size=size)
    drawn = [np.array(draw(row)) * draw(scales) for _ in range(count)]
    if draw(st.booleans()):
        drawn[1] = drawn[0] * draw(st.sampled_from([1.0, -1.0, 2.0, 0.0]))
    return drawn


def shares(count: int) -> st.SearchStrategy[list[float]]:
    weight = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0])
    return st.lists(weight, min_size=count, max_size=count).filter(any)


def pairs_of(some: list[Vector]) -> PairMoments:
    values = [Values.from_array(vector) for vector in some]
    count = range(len(some))
    pairs = {(i, j): measure_moments(values[i], values[j]) for i, j in combinations(count, 2)}
    return PairMoments(pairs)


def multislerp(some: list[Vector], weights: list[float]) -> Vector:
    """MergeKit 0.1.5 `multislerp` without a base, step by step."""
    eps = 1e-8
    w = np.array(weights) / sum(weights)
    norms = np.array([np.linalg.norm(vector) for vector in some])
    units = np.stack([vector / (norm + eps) for vector, norm in zip(some, norms, strict=True)])
    mean = w @ units
    mean = mean / np.linalg.norm(mean)
    tangents = units - (units @ mean)[:, None] * mean
    step = w @ tangents
    size = np.linalg.norm(step) + eps
    return np.asarray(mean * math.cos(size) + step * (math.sin(size) / size)) * float(norms @ w)


def summed(some: list[Vector], total: TensorSum) -> Vector:
    assert isinstance(total, WeightedSum)
    terms = [weight * vector for weight, vector in zip(total.weights, some, strict=True)]
    return np.asarray(np.sum(terms, axis=0))


@given(st.data())
def test_multislerp_is_mergekit_s_formula(data: st.DataObject) -> None:
    some = data.draw(vectors())
    given_weights = data.draw(shares(len(some)))
    w = np.array(given_weights) / sum(given_weights)
    units = [vector / (np.linalg.norm(vector) + 1e-8) for vector in some]
    assume(np.linalg.norm(w @ np.stack(units)) > 1e-3)
    mix = resolve_point(given_weights, "multislerp", len(some))
    merged = summed(some, compute_sum(mix, pairs_of(some), wide=True))
    wanted = multislerp(some, given_weights)
    size = max(float(np.linalg.norm(vector)) for vector in some)
    # An input that is all of a mix is taken as it is; MergeKit loses ε of its norm.
    assert np.abs(merged - wanted).max() <= 1e-7 * size + 1e-8


def test_multislerp_takes_the_angle_of_tensors_with_tiny_norms() -> None:
    some = [np.array([0.0, 7.8125e-9]), np.array([0.0, 1e-6])]
    mix = resolve_point([0.1, 0.1], "multislerp", 2)
    merged = summed(some, compute_sum(mix, pairs_of(some), wide=True))
    assert merged == pytest.approx(multislerp(some, [0.1, 0.1]), rel=1e-6)


@given(st.data())
def test_slerp_is_its_formula(data: st.DataObject) -> None:
    a, b = data.draw(vectors(2))
    t = data.draw(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.9, 1.0]))
    merged = summed([a, b], compute_sum(resolve_point(t, "slerp", 2), pairs_of([a, b]), wide=True))
    norms = [norm if norm > 1e-8 else 1.0 for norm in map(float, map(np.linalg.norm, (a, b)))]
    dot = float(np.clip((a / norms[0]) @ (b / norms[1]), -1, 1))
    assume(abs(abs(dot) - 0.9995) > 1e-9)
    wanted = (1 - t) * a + t * b
    if abs(dot) <= 0.9995 and 0 < t < 1:
        theta = math.acos(dot)
        wanted = (math.sin((1 - t) * theta) * a + math.sin(t * theta) * b) / math.sin(theta)
    assert np.allclose(merged, wanted, rtol=1e-9, atol=1e-12 * max(norms))


def test_two_that_cancel_are_merged_linearly_and_three_are_refused() -> None:
    a = np.array([1.0, 2.0])
    assert compute_sum(TensorWeights("multislerp", (0.5, 0.5)), pairs_of([a, -a])) == WeightedSum(
        (0.5, 0.5)
    )
    three = [a, -a, np.zeros(2)]
    with pytest.raises(MergeError, match="cancel each other"):
        compute_sum(TensorWeights("multislerp", (0.25, 0.25, 0.5)), pairs_of(three))


def test_lambda_is_the_share_of_the_model_that_is_not_the_base() -> None:
    assert resolve_point(0.25, "slerp", 2) == TensorWeights("slerp", (0.75, 0.25))
    assert resolve_point(0.25, "slerp", 2, base=1) == TensorWeights("slerp", (0.25, 0.75))
    assert resolve_point(TensorWeights("linear", (1, 3)), "slerp", 2) == TensorWeights(
        "linear", (0.25, 0.75)
    )
    assert resolve_point(1, "slerp", 2) == TensorWeights("slerp", (0.0, 1.0))
