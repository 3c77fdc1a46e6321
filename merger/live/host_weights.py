"""Weights of a live model in the computer's own memory, rewritten in place by the kernels."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from merger.checkpoints.values import Values
from merger.kernels.dispatch import combine, combine_many
from merger.kernels.weighted_sums import SumWeights, WeightedSum
from patientdx.errors import MergeError

from .live_tensors import LiveTensor

PART = 1 << 22  # numbers that a thread takes at a time


class _Part(NamedTuple):
    """A part of a tensor for one thread."""

    blend: LiveTensor
    out: Values
    weights: SumWeights
    start: int


class HostWeights:
    """The live tensors of blends, as bytes that are shared with the model."""

    def __init__(
        self, live: Mapping[str, Values], some: Sequence[LiveTensor], pool: Executor
    ) -> None:
        self._live = live
        self._blends = {blend.task.name: blend for blend in some}
        self._pool = pool
        for blend in some:
            for start, tail in blend.copied_rows:
                out = self._live[blend.task.name].part(start, start + tail.size)
                _mix_into([tail], [1.0], blend.rounding_steps, out)

    def write(self, weights: Mapping[str, WeightedSum]) -> None:
        """Rewrites the tensors named. Raises MergeError for a result that is not finite."""
        jobs = [job for name, row in weights.items() for job in self._jobs(name, row)]
        for job, finite in zip(jobs, self._pool.map(_mix_part, jobs), strict=True):
            if not finite:
                raise _not_finite(job.blend)

    def _jobs(self, name: str, weights: SumWeights) -> list[_Part]:
        blend = self._blends[name]
        out = self._live[name]
        return [_Part(blend, out, weights, start) for start in range(0, blend.size, PART)]


def mix_many(blend: LiveTensor, rows: Sequence[SumWeights], pool: Executor) -> list[Values]:
    """A tensor by several mixes, from one read of the inputs, in the dtype of the plan.

    Raises MergeError for a result that is not finite.
    """
    first, last = blend.rounding_steps[0], blend.task.dtype
    count = math.prod(blend.task.shape)
    outs = [Values.empty(count, last) for _ in rows]
    parts = [out.part(0, blend.size) for out in outs]
    if blend.fixed:
        finite = all(_mix_into(blend.inputs, [1.0], blend.rounding_steps, part) for part in parts)
    else:
        rooms = parts if first == last else [Values.empty(blend.size, first) for _ in rows]
        finite = combine_many(blend.inputs, rows, rooms, pool=pool)
        if first != last:
            rounded = [
                combine([room], [1.0], part, pool=pool)
                for room, part in zip(rooms, parts, strict=True)
            ]
            finite = finite and all(rounded)
    if not finite:
        raise _not_finite(blend)
    for start, tail in blend.copied_rows:
        for out in outs:
            _mix_into([tail], [1.0], blend.rounding_steps, out.part(start, start + tail.size))
    return outs


def _not_finite(blend: LiveTensor) -> MergeError:
    return MergeError(f"tensor `{blend.task.name}` would hold NaN or infinity")


def _mix_part(job: _Part) -> bool:
    stop = min(job.start + PART, job.blend.size)
    inputs = [each.part(job.start, stop) for each in job.blend.inputs]
    return _mix_into(inputs, job.weights, job.blend.rounding_steps, job.out.part(job.start, stop))


def _mix_into(
    inputs: Sequence[Values], weights: SumWeights, steps: Sequence[str], out: Values
) -> bool:
    """Writes a weighted sum, rounded to the dtypes of `steps` before that of `out`."""
    if len(inputs) == 1 and inputs[0].dtype == out.dtype and steps == (out.dtype,):
        np.copyto(out.data, inputs[0].data)  # integers too
        return True
    finite = True
    for dtype in steps if steps[-1] == out.dtype else (*steps, out.dtype):
        room = out if dtype == out.dtype else Values.empty(out.size, dtype)
        finite = combine(inputs, weights, room, past_caches=room is out) and finite
        inputs, weights = [room], [1.0]
    return finite
