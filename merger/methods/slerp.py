"""`slerp`: spherical interpolation between two inputs, as MergeKit 0.1.5 defines it.

It interpolates between the tensors as they are, not normalized, by the angle of the flattened
pair, and is linear where |cosine| > 0.9995.
"""

import math

import numpy as np

from merger.kernels.pair_moments import PairMoments
from merger.kernels.weighted_sums import WeightedSum

from .method import MergeMethod, TensorParameters, TensorWeights, simplify_weights

COSINE_THRESHOLD = 0.9995
"""The |cosine| of two tensors beyond which SLERP is linear."""


def slerp_weights(t: float, cosine: float, *, wide: bool = False) -> tuple[float, float]:
    """Factors of the base and of the other input; exactly (1 - t, t) where SLERP is linear.

    `wide` is for float64; otherwise t is rounded to float32 as in MergeKit. t = 0 and t = 1 give
    (1, 0) and (0, 1).
    """
    if not wide:
        t = float(np.float32(t))
    rest = 1.0 - t if wide else float(np.float32(1) - np.float32(t))
    if abs(cosine) > COSINE_THRESHOLD or t in {0.0, 1.0}:
        return rest, t
    angle = math.acos(cosine)
    return math.sin(rest * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _resolve_weights(parameters: TensorParameters) -> TensorWeights:
    t = parameters.number("t")
    weights = [0.0] * parameters.inputs
    for source in parameters.sources:
        weights[source] = 1 - t if source == parameters.base else t
    return simplify_weights("slerp", weights)


def _compute_sum(tensor: TensorWeights, moments: PairMoments, *, wide: bool) -> WeightedSum:
    return WeightedSum(slerp_weights(tensor.weights[1], moments.cosine(0, 1), wide=wide))


SLERP = MergeMethod(
    "slerp",
    _resolve_weights,
    _compute_sum,
    inputs=2,
    needs_moments=True,
    lambda_parameter="t",
    base_role="the model that t = 0 gives",
)
