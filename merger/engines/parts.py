"""Merges one tensor in parts that threads share: first sums over it, then the merged bytes.

Inputs are mapped, and each thread has buffers for one part, so memory does not grow with tensors.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.values import FLOATS, SIZES, Values
from merger.kernels.delta_sums import SumOrWeights
from merger.kernels.dispatch import (
    chunk_sums,
    combine,
    measure_moments,
    squares_in_range,
    total_moments,
)
from merger.kernels.moments import Moments
from merger.kernels.numpy_kernels import CHUNK
from merger.kernels.pair_moments import PairMoments
from merger.methods.method import COPY
from merger.methods.registry import get_method
from merger.planning.merge_plan import MergePlan, Piece, TensorTask
from patientdx.errors import MergeError

PART = 2 * CHUNK  # numbers

WritePart = Callable[[TensorTask, int, memoryview], None]
"""Writes a part of a tensor, which begins at a byte of it."""


class Span(NamedTuple):
    """Numbers `start` to `stop` of one piece of a tensor."""

    piece: Piece
    start: int
    stop: int


class PartMerger:
    """Merges parts of a plan's tensors. Threads may share one."""

    def __init__(self, plan: MergePlan, write_part: WritePart, variant: str | None = None) -> None:
        self._plan = plan
        self._write_part = write_part
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
        """Sums of squares and products of the two inputs of a part, by chunk."""
        a, b = self._sources(task, span)
        return chunk_sums(a, b, variant=self._variant)

    def moments(self, task: TensorTask, sums: Sequence[NDArray[np.float64]]) -> Moments:
        """The moments of a tensor. Raises MergeError if an input is not finite."""
        piece = self._plan.pieces(task)[0]
        moments = total_moments(sums)
        tensors = [self._plan.inputs[i].values(task.name) for i in piece.sources]
        dtypes = {task.work or values.dtype for values in tensors}
        if "F64" in dtypes and not squares_in_range(moments):
            moments = measure_moments(*(values.part(piece.start, piece.stop) for values in tensors))
        for i, finite in zip(piece.sources, moments.finite, strict=True):
            if not finite:
                raise self._not_finite(task, i)
        return moments

    def write(self, task: TensorTask, span: Span, moments: Moments | None) -> None:
        """Merges a part and writes it. Raises MergeError if the result is not finite."""
        size = SIZES[task.dtype]
        if task.dtype not in FLOATS:
            (i,) = span.piece.sources
            data = self._plan.inputs[i].values(task.name).part(span.start, span.stop).data
        else:
            data = self._merge(task, span, moments).data
        self._write_part(task, span.start * size, data.data)

    def _merge(self, task: TensorTask, span: Span, moments: Moments | None) -> Values:
        sources = self._sources(task, span)
        weights = self._weights(task, span.piece, moments, [values.dtype for values in sources])
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
        """The numbers of the inputs, rounded to the task's `work` dtype if it has one."""
        sources = []
        for i in span.piece.sources:
            values = self._plan.inputs[i].values(task.name).part(span.start, span.stop)
            if task.work and values.dtype != task.work:
                rounded = self._buffer(f"in {i}", span, task.work)
                if not combine([values], [1.0], rounded, variant=self._variant):
                    raise self._explain_not_finite(task, span)
                values = rounded
            sources.append(values)
        return sources

    @staticmethod
    def _weights(
        task: TensorTask, piece: Piece, moments: Moments | None, dtypes: Sequence[str]
    ) -> SumOrWeights:
        """The factors of the sources of a piece; [1.0] copies the only source."""
        if not piece.merged or task.method == COPY:
            return [1.0]
        method = get_method(task.method)
        if method.needs_moments and moments is None:  # the piece has one source
            return [1.0]
        pairs = PairMoments({} if moments is None else {(0, 1): moments})
        whole = method.compute_sum(task.tensor_weights, pairs, wide="F64" in dtypes)
        return whole.select(piece.sources)

    def _buffer(self, role: str, span: Span, dtype: str) -> Values:
        """This thread's buffer of a role, with room for a part."""
        size = (span.stop - span.start) * SIZES[dtype]
        buffers: dict[str, NDArray[np.uint8]] = self._buffers.__dict__
        if role not in buffers or len(buffers[role]) < size:
            buffers[role] = np.empty(max(size, PART * 2), np.uint8)
        return Values(buffers[role][:size], dtype)

    def _explain_not_finite(self, task: TensorTask, span: Span) -> MergeError:
        """The error for a part that is not finite: a broken input, or a result out of range."""
        scratch = Values.empty(span.stop - span.start, "F64")
        for i in span.piece.sources:
            values = self._plan.inputs[i].values(task.name).part(span.start, span.stop)
            if not combine([values], [1.0], scratch, variant=self._variant):
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
