"""Points of a live merge: how much of each input to take, and the weights that they stand for."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from merger.methods.method import DeltaOptions, MergeMethod, TensorWeights, simplify_deltas
from merger.methods.registry import find_method, method_names
from patientdx.errors import MergeError

TensorPoint: TypeAlias = float | Sequence[float] | TensorWeights
"""One λ of two inputs (0: the base, 1: the other), one weight per input, or a method too.

For task_arithmetic, one λ for all models but the base, or a weight for each of them.
"""

MergePoint: TypeAlias = (
    TensorPoint | Mapping[str, TensorPoint] | Callable[[str], TensorPoint | None]
)
"""A point for all tensors, or one for each by its name; the plan's weights where there is none."""


def tensor_point(point: MergePoint, tensor: str) -> TensorPoint | None:
    """The point of one tensor; None if there is none for it."""
    if isinstance(point, Mapping):
        return point.get(tensor)
    return point(tensor) if callable(point) else point


def resolve_point(point: TensorPoint, method: str, inputs: int, base: int = 0) -> TensorWeights:
    """The weights of a point; `method` applies if the point names none.

    Weights of models are scaled to add up to 1, those of differences from a base are not. `inputs`
    is the number of inputs, `base` the index of the base. Raises MergeError for weights that do
    not fit.
    """
    known = _live_method(point.method if isinstance(point, TensorWeights) else method)
    if known.sums_deltas:
        return _resolve_deltas(point, known, inputs, base)
    if isinstance(point, TensorWeights):
        method, point = point.method, point.weights
    if isinstance(point, int | float):
        point = _split_lambda(float(point), inputs, base)
    weights = tuple(float(weight) for weight in point)
    total = math.fsum(weights)
    if len(weights) != inputs:
        raise MergeError(f"{len(weights)} weights were given for {inputs} models")
    if not all(weight >= 0 for weight in weights) or not 0 < total < math.inf:
        raise MergeError("weights of models must be 0 or more, and not all 0")
    if known.inputs not in {None, inputs}:
        raise MergeError(
            f"{method} is for two models, and there are {inputs}",
            hint="multislerp takes any number",
        )
    if total != 1:
        weights = tuple(weight / total for weight in weights)
    return TensorWeights(method, weights)


def _live_method(name: str) -> MergeMethod:
    method = find_method(name)
    if method is None:
        raise MergeError(f"a live merge knows {', '.join(method_names())}; not `{name}`")
    return method


def _resolve_deltas(
    point: TensorPoint, method: MergeMethod, inputs: int, base: int
) -> TensorWeights:
    """A sum of differences: one λ for all inputs but the base, or a weight for each of them."""
    tensor = TensorWeights(method.name, (), divided=False, deltas=DeltaOptions(base))
    if isinstance(point, TensorWeights):
        tensor = point if point.deltas else point._replace(divided=False, deltas=tensor.deltas)
        weights = [float(weight) for weight in point.weights]
    elif isinstance(point, int | float):
        weights = [float(point)] * inputs
    else:
        weights = [float(weight) for weight in point]
        if len(weights) != inputs - 1:
            raise MergeError(
                f"a base and {inputs - 1} other models need {inputs - 1} weights, "
                f"not {len(weights)}"
            )
        weights.insert(base, 1.0)
    if len(weights) != inputs or not all(map(math.isfinite, weights)):
        raise MergeError("differences from a base need one finite weight for each input")
    assert tensor.deltas is not None
    weights[tensor.deltas.base] = 1.0
    return simplify_deltas(tensor._replace(weights=tuple(weights)))


def _split_lambda(t: float, inputs: int, base: int) -> tuple[float, ...]:
    if inputs != 2:
        raise MergeError(f"a single λ is for two models, and there are {inputs}: give weights")
    if not 0 <= t <= 1:
        raise MergeError(f"λ is {t:g}, and must lie between 0 and 1")
    return (1 - t, t) if base == 0 else (t, 1 - t)
