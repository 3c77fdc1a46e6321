"""`multislerp`: a mean of any number of inputs on the sphere, as in MergeKit 0.1.5, live only."""

import math
from collections.abc import Sequence

from merger.kernels.pair_moments import PairMoments
from merger.kernels.weighted_sums import WeightedSum
from patientdx.errors import MergeError

from .method import (
    COPY,
    MergeMethod,
    TensorParameters,
    TensorWeights,
    read_model_weights,
    simplify_weights,
)

_EPSILON = 1e-8  # added to norms, as in MergeKit
_CANCELLED = 1e-6  # a mean of unit vectors shorter than this is rounding error


def multislerp_weights(weights: Sequence[float], moments: PairMoments) -> tuple[float, ...]:
    """Factors of the inputs for MergeKit's multislerp without a base.

    With unit vectors uᵢ = xᵢ / (‖xᵢ‖ + ε) and m = Σ wᵢ uᵢ it projects onto the tangent space at
    m / ‖m‖. There Σ wᵢ (uᵢ - (uᵢ·m) m / ‖m‖²) = m - m = 0: the step is zero, and the result is
    (Σ wᵢ ‖xᵢ‖) m / ‖m‖, except for rounding. Raises MergeError if three or more tensors cancel.
    """
    inputs = range(len(weights))
    norms = [moments.norm(i) for i in inputs]
    lengths = [norm / (norm + _EPSILON) for norm in norms]
    products = [
        weights[i]
        * weights[j]
        * lengths[i]
        * lengths[j]
        * (1.0 if i == j else moments.angle_cosine(i, j))
        for i in inputs
        for j in inputs
    ]
    length = math.sqrt(max(0.0, math.fsum(products)))
    if length < _CANCELLED:
        if len(weights) == 2:
            return tuple(weights)
        raise MergeError("multislerp has no mean of tensors that cancel each other")
    size = math.fsum(w * norm for w, norm in zip(weights, norms, strict=True))
    return tuple(
        size * w / (length * (norm + _EPSILON)) for w, norm in zip(weights, norms, strict=True)
    )


def _resolve_weights(parameters: TensorParameters) -> TensorWeights:
    weights, divided = read_model_weights(parameters, "normalize_weights")
    if len(parameters.sources) == 1:  # MergeKit copies a single input
        (source,) = parameters.sources
        return TensorWeights(COPY, tuple(float(i == source) for i in range(parameters.inputs)))
    total = sum(weights) if divided else 1.0
    return simplify_weights("multislerp", [weight / total for weight in weights])


def _compute_sum(
    tensor: TensorWeights,
    moments: PairMoments,
    *,
    wide: bool,  # noqa: ARG001 - other methods need it
) -> WeightedSum:
    return WeightedSum(multislerp_weights(tensor.weights, moments))


MULTISLERP = MergeMethod(
    "multislerp",
    _resolve_weights,
    _compute_sum,
    streams=False,
    needs_moments=True,
    allows_base=False,
    mergekit_parameters=("eps",),
)
