"""One tensor of a merge, cut into parts that threads work on: sums first, then merged bytes.

Inputs are mapped and each thread has room for one part, so that memory does not grow with tensors.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.values import FLOATS, SIZES, Values
from merger.kernels.dispatch import (
    Moments,
    chunk_sums,
    combine,
    moments,
    slerp_weights,
    squares_in_range,
    total_moments,
)
from merger.kernels.numpy_kernels import CHUNK
from merger.kernels.weighted_sums import SumWeights, WeightedSum, linear_sum
from merger.planning.merge_plan import MergePlan, Piece, TensorTask
from patientdx.errors import MergeError

PART = 2 * CHUNK  # numbers

WritePart = Callable[[TensorTask, int, memoryview], None]
"""Takes a tensor, the byte in it where a part begins, and the part."""


class Span(NamedTuple):
    """Numbers `start` to `stop` of one piece of a tensor."""

    piece: Piece
    start: int
    stop: int


class PartMerger:
    """The work on parts of tensors. Threads may share one."""

    def __init__(self, plan: MergePlan, write: WritePart, variant: str | None = None) -> None:
        self._plan = plan
        self._write_part = write
        self._variant = variant
        self._buffers = threading.local()

    def spans(self, task: TensorTask) -> list[Span]:
        """The parts of a tensor; those of a piece begin at whole chunks of it."""
        return [
            Span(piece, start, min(start + PART, piece.stop))
            for piece in self._plan.pieces(task)
            for start in range(piece.start, piece.stop, PART)
        ]

    def sums(self, task: TensorTask, span: Span) -> NDArray[np.float64]:
        """Sums of squares and products of the two tensors that SLERP takes."""
        a, b = self._sources(task, span)
        return chunk_sums(a, b, variant=self._variant)

    def moments(self, task: TensorTask, sums: Sequence[NDArray[np.float64]]) -> Moments:
        """The moments of a tensor. Raises MergeError where an input is not finite."""
        piece = self._plan.pieces(task)[0]
        found = total_moments(sums)
        whole = [self._plan.inputs[i].values(task.name) for i in piece.sources]
        if "F64" in {task.work or each.dtype for each in whole} and not squares_in_range(found):
            found = moments(*(each.part(piece.start, piece.stop) for each in whole))
        for i, finite in zip(piece.sources, found.finite, strict=True):
            if not finite:
                raise self._not_finite(task, i)
        return found

    def write(self, task: TensorTask, span: Span, cosine: float | None) -> None:
        """Merges a part and writes it. Raises MergeError where it is not finite."""
        size = SIZES[task.dtype]
        if task.dtype not in FLOATS:
            (i,) = span.piece.sources
            data = self._plan.inputs[i].values(task.name).part(span.start, span.stop).data
        else:
            data = self._merge(task, span, cosine).data
        self._write_part(task, span.start * size, data.data)

    def _merge(self, task: TensorTask, span: Span, cosine: float | None) -> Values:
        sources = self._sources(task, span)
        weights = self._weights(task, span.piece, cosine, [each.dtype for each in sources])
        work = self._buffer("work", span, task.work or task.dtype)
        out = work if work.dtype == task.dtype else self._buffer("out", span, task.dtype)
        finite = combine(sources, weights, work, variant=self._variant)
        if out is not work:
            finite = combine([work], [1.0], out, variant=self._variant) and finite
        if not finite:
            raise self._explain_not_finite(task, span)
        copied = weights == [1.0] and sources[0].dtype == out.dtype == work.dtype
        return sources[0] if copied else out

    def _sources(self, task: TensorTask, span: Span) -> list[Values]:
        """The numbers of the inputs, rounded where the task says so."""
        found = []
        for i in span.piece.sources:
            values = self._plan.inputs[i].values(task.name).part(span.start, span.stop)
            if task.work and values.dtype != task.work:
                rounded = self._buffer(f"in {i}", span, task.work)
                if not combine([values], [1.0], rounded, variant=self._variant):
                    raise self._explain_not_finite(task, span)
                values = rounded
            found.append(values)
        return found

    @staticmethod
    def _weights(
        task: TensorTask, piece: Piece, cosine: float | None, dtypes: Sequence[str]
    ) -> SumWeights:
        if not piece.merged or task.method == "copy":
            return [1.0]
        if task.method == "linear":
            whole = linear_sum(task.weights, divided=task.divided, wide="F64" in dtypes)
            return WeightedSum(tuple(whole.weights[i] for i in piece.sources), whole.divisor)
        if cosine is None:  # t is 0 or 1
            return [1.0]
        return list(slerp_weights(task.weights[1], cosine, wide="F64" in dtypes))

    def _buffer(self, role: str, span: Span, dtype: str) -> Values:
        """Room of this thread for a part."""
        size = (span.stop - span.start) * SIZES[dtype]
        held: dict[str, NDArray[np.uint8]] = self._buffers.__dict__
        if role not in held or len(held[role]) < size:
            held[role] = np.empty(max(size, PART * 2), np.uint8)
        return Values(held[role][:size], dtype)

    def _explain_not_finite(self, task: TensorTask, span: Span) -> MergeError:
        """Why a part is not finite."""
        room = Values.empty(span.stop - span.start, "F64")
        for i in span.piece.sources:
            values = self._plan.inputs[i].values(task.name).part(span.start, span.stop)
            if not combine([values], [1.0], room, variant=self._variant):
                return self._not_finite(task, i)
        return MergeError(
            f"tensor `{task.name}`: the merge exceeds what {task.work or task.dtype} can hold",
            hint="write another dtype, for example bfloat16 or float32",
        )

    def _not_finite(self, task: TensorTask, i: int) -> MergeError:
        return MergeError(
            f"{self._plan.inputs[i].folder}: tensor `{task.name}` holds NaN or infinity",
            hint="this model is broken: fetch it again or merge another one",
        )
