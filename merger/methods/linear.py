"""`linear`: the weighted mean of the inputs, with the bits of MergeKit 0.1.5 on AVX2 and later."""

from collections.abc import Sequence

from merger.kernels.pair_moments import PairMoments
from merger.kernels.weighted_sums import WeightedSum, sum_in_lanes

from .method import (
    COPY,
    MergeMethod,
    TensorParameters,
    TensorWeights,
    read_model_weights,
    simplify_weights,
)


def linear_sum(
    weights: Sequence[float], *, divided: bool = True, wide: bool = False
) -> WeightedSum:
    """The sum of MergeKit 0.1.5's linear method, `divided` by the sum of the weights or not.

    Weights are rounded to float32 and added in the order in which torch adds up to seven numbers;
    `wide` is for float64.
    """
    divisor = sum_in_lanes(weights, wide=wide) if divided else 1.0
    return WeightedSum(tuple(map(float, weights)), divisor)


def _resolve_weights(parameters: TensorParameters) -> TensorWeights:
    weights, divided = read_model_weights(parameters, "normalize")
    total = sum(weights) if divided else 1.0
    shares = simplify_weights("linear", [weight / total for weight in weights])
    if shares.method == COPY:
        return shares
    return TensorWeights("linear", tuple(weights), divided)


def _compute_sum(
    tensor: TensorWeights,
    moments: PairMoments,  # noqa: ARG001 - other methods need it
    *,
    wide: bool,
) -> WeightedSum:
    return linear_sum(tensor.weights, divided=tensor.divided, wide=wide)


LINEAR = MergeMethod("linear", _resolve_weights, _compute_sum)
