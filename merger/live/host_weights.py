"""Weights of a live model in main memory, which the kernels rewrite in place."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from merger.checkpoints.values import Values
from merger.kernels.delta_sums import SumOrWeights, TensorSum
from merger.kernels.dispatch import combine, combine_many
from patientdx.errors import MergeError

from .live_tensors import LiveTensor

PART = 1 << 22  # numbers that a thread processes at a time


class _Part(NamedTuple):
    """A part of a tensor for one thread, from number `start` on."""

    tensor: LiveTensor
    out: Values
    weights: SumOrWeights
    start: int


class HostWeights:
    """The tensors of a live model as bytes in main memory, shared with the model."""

    def __init__(
        self, live: Mapping[str, Values], tensors: Sequence[LiveTensor], pool: Executor
    ) -> None:
        self._live = live
        self._tensors = {tensor.task.name: tensor for tensor in tensors}
        self._pool = pool
        for tensor in tensors:
            for start, rows in tensor.copied_rows:
                out = self._live[tensor.task.name].part(start, start + rows.size)
                _mix_into([rows], [1.0], tensor.rounding_steps, out)

    def write(self, weights: Mapping[str, TensorSum]) -> None:
        """Rewrites the named tensors. Raises MergeError for a result that is not finite."""
        parts = [part for name, row in weights.items() for part in self._parts(name, row)]
        for part, finite in zip(parts, self._pool.map(_mix_part, parts), strict=True):
            if not finite:
                raise _not_finite(part.tensor)

    def _parts(self, name: str, weights: SumOrWeights) -> list[_Part]:
        tensor, out = self._tensors[name], self._live[name]
        return [_Part(tensor, out, weights, start) for start in range(0, tensor.size, PART)]


def mix_many(tensor: LiveTensor, rows: Sequence[SumOrWeights], pool: Executor) -> list[Values]:
    """A tensor by several sums, from one read of the inputs, in the dtype of the plan.

    Raises MergeError for a result that is not finite.
    """
    first, last = tensor.rounding_steps[0], tensor.task.dtype
    count = math.prod(tensor.task.shape)
    outs = [Values.empty(count, last) for _ in rows]
    parts = [out.part(0, tensor.size) for out in outs]
    if tensor.fixed:
        steps = tensor.rounding_steps
        finite = all(_mix_into(tensor.inputs, [1.0], steps, part) for part in parts)
    else:
        sums = parts if first == last else [Values.empty(tensor.size, first) for _ in rows]
        finite = combine_many(tensor.inputs, rows, sums, pool=pool)
        if first != last:
            rounded = [
                combine([total], [1.0], part, pool=pool)
                for total, part in zip(sums, parts, strict=True)
            ]
            finite = finite and all(rounded)
    if not finite:
        raise _not_finite(tensor)
    for start, values in tensor.copied_rows:
        for out in outs:
            target = out.part(start, start + values.size)
            _mix_into([values], [1.0], tensor.rounding_steps, target)
    return outs


def _not_finite(tensor: LiveTensor) -> MergeError:
    return MergeError(f"tensor `{tensor.task.name}` would hold NaN or infinity")


def _mix_part(part: _Part) -> bool:
    stop = min(part.start + PART, part.tensor.size)
    inputs = [values.part(part.start, stop) for values in part.tensor.inputs]
    out = part.out.part(part.start, stop)
    return _mix_into(inputs, part.weights, part.tensor.rounding_steps, out)


def _mix_into(
    inputs: Sequence[Values], weights: SumOrWeights, steps: Sequence[str], out: Values
) -> bool:
    """Writes a sum, rounded to the dtypes of `steps` and then to that of `out`.

    False if some of it is not finite.
    """
    if len(inputs) == 1 and inputs[0].dtype == out.dtype and steps == (out.dtype,):
        np.copyto(out.data, inputs[0].data)  # integers too
        return True
    finite = True
    for dtype in steps if steps[-1] == out.dtype else (*steps, out.dtype):
        target = out if dtype == out.dtype else Values.empty(out.size, dtype)
        finite = combine(inputs, weights, target, past_caches=target is out) and finite
        inputs, weights = [target], [1.0]
    return finite
