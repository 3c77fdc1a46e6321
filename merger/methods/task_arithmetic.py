"""`task_arithmetic`: a base plus weighted differences from it, with the bits of MergeKit 0.1.5."""

from merger.kernels.delta_sums import DeltaSum
from merger.kernels.pair_moments import PairMoments
from patientdx.errors import MergeError

from .method import (
    DeltaOptions,
    MergeMethod,
    TensorParameters,
    TensorWeights,
    simplify_deltas,
)


def _resolve_weights(parameters: TensorParameters) -> TensorWeights:
    base = parameters.base
    if base is None or base not in parameters.sources:
        raise MergeError(f"{parameters.tensor}: task_arithmetic needs a base among its inputs")
    scale = parameters.number("lambda", default=1.0)
    weights = [0.0] * parameters.inputs
    for source in parameters.sources:
        weights[source] = 1.0 if source == base else parameters.number("weight", source)
    divided = parameters.switch("normalize") is True
    tensor = TensorWeights("task_arithmetic", tuple(weights), divided, DeltaOptions(base, scale))
    return simplify_deltas(tensor)


def _compute_sum(
    tensor: TensorWeights,
    moments: PairMoments,  # noqa: ARG001 - other methods need it
    *,
    wide: bool,  # noqa: ARG001 - the arithmetic follows from the dtype of the output
) -> DeltaSum:
    if tensor.deltas is None:
        raise MergeError("weights of task_arithmetic name no base")
    return DeltaSum(tensor.deltas.base, tensor.weights, tensor.divided, tensor.deltas.scale)


TASK_ARITHMETIC = MergeMethod(
    "task_arithmetic",
    _resolve_weights,
    _compute_sum,
    sums_deltas=True,
    base_role="the model that all others were trained from",
)
