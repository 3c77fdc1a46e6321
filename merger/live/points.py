"""Points of a live merge: how much of each input to take, and the weights that they stand for."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from merger.methods.method import TensorWeights
from merger.methods.registry import find_method, method_names
from patientdx.errors import MergeError

TensorPoint: TypeAlias = float | Sequence[float] | TensorWeights
"""One λ of two inputs (0: the base, 1: the other), one weight per input, or a method too."""

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
    """The weights of a point, scaled to add up to 1; `method` applies if the point names none.

    `inputs` is the number of inputs, `base` the index of the base. Raises MergeError for weights
    that do not fit.
    """
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
    known = find_method(method)
    if known is None:
        raise MergeError(f"a live merge knows {', '.join(method_names())}; not `{method}`")
    if known.inputs not in {None, inputs}:
        raise MergeError(
            f"{method} is for two models, and there are {inputs}",
            hint="multislerp takes any number",
        )
    if total != 1:
        weights = tuple(weight / total for weight in weights)
    return TensorWeights(method, weights)


def _split_lambda(t: float, inputs: int, base: int) -> tuple[float, ...]:
    if inputs != 2:
        raise MergeError(f"a single λ is for two models, and there are {inputs}: give weights")
    if not 0 <= t <= 1:
        raise MergeError(f"λ is {t:g}, and must lie between 0 and 1")
    return (1 - t, t) if base == 0 else (t, 1 - t)
