"""The plan of a merge: every tensor of the output, and how it is made from the inputs.

Recipes are turned into plans, and engines carry plans out.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.headers import Slot, TensorInfo
from merger.checkpoints.values import FLOATS
from merger.methods.method import COPY, DeltaOptions, TensorWeights
from merger.methods.registry import get_method
from patientdx.errors import MergeError

_EDITION = 2  # of the arithmetic: raised when the same plan would give other bytes


class TensorTask(NamedTuple):
    """One tensor of the output.

    `weights` has one number per input, see `TensorWeights`: the factors of `linear`, whose sum is
    `divided` by theirs; 1 - t and t (base first or not) of `slerp`; 1 for the one input of `copy`;
    1 for the base of `task_arithmetic`, which `deltas` names, and a factor for each other input.
    Inputs of weight 0 need not have the tensor. `dtype` is that of the output, as safetensors
    spells it. If `work` is set, inputs are rounded to that dtype first, and the result is rounded
    to it before it is rounded to `dtype` (MergeKit's `dtype` and `out_dtype`).

    Where shape[0] is less than that of an input, its further rows are dropped; rows that an input
    lacks are copied from the base, or else from the first input that has them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    method: str
    weights: tuple[float, ...]
    work: str = ""
    divided: bool = True
    deltas: DeltaOptions | None = None

    @property
    def slot(self) -> Slot:
        """The tensor's entry in the output's header."""
        return Slot(self.name, self.dtype, self.shape)

    @property
    def tensor_weights(self) -> TensorWeights:
        """The method and its weights."""
        return TensorWeights(self.method, self.weights, self.divided, self.deltas)


class Piece(NamedTuple):
    """Numbers `start` to `stop` of a tensor, made of the inputs `sources` at the same place.

    `merged` is False for rows that are copied.
    """

    start: int
    stop: int
    sources: tuple[int, ...]
    merged: bool


@dataclass(frozen=True)
class MergePlan:
    """Inputs, and the tensors to be made from them in the order of the output."""

    inputs: tuple[Checkpoint, ...]
    tensors: tuple[TensorTask, ...]
    base: int = 0

    @property
    def digest(self) -> str:
        """The sha256 of everything that determines the bytes of the output, as hex digits."""
        inputs = [checkpoint.fingerprint for checkpoint in self.inputs]
        facts = (_EDITION, inputs, self.base, [tuple(task) for task in self.tensors])
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all tensors of the output."""
        return sum(task.slot.nbytes for task in self.tensors)

    def check(self) -> None:
        """Raises MergeError for the first task that the inputs do not allow."""
        names = [task.name for task in self.tensors]
        if len(set(names)) < len(names):
            raise MergeError("the plan writes a tensor twice")
        for task in self.tensors:
            _check_task(task, self.inputs)
            self.pieces(task)

    def pieces(self, task: TensorTask) -> list[Piece]:
        """The parts of a tensor: the rows that are merged, then those that are copied."""
        used = tuple(i for i, weight in enumerate(task.weights) if weight)
        lengths = self._lengths(task)
        width, rows = math.prod(task.shape[1:]), task.shape[0] if task.shape else 1
        row = min(rows, *(lengths[i] for i in used))
        pieces = [Piece(0, row * width, used, merged=True)]
        while row < rows:
            source = next((i for i, length in lengths.items() if length > row), None)
            if source is None:
                raise MergeError(f"tensor `{task.name}`: no input has all of its {rows:,} rows")
            stop = min(rows, lengths[source])
            pieces.append(Piece(row * width, stop * width, (source,), merged=False))
            row = stop
        return [piece for piece in pieces if piece.stop > piece.start]

    def _lengths(self, task: TensorTask) -> dict[int, int]:
        """Rows of a tensor by input, the base first, for the inputs whose shape otherwise fits."""
        lengths = {}
        for i in sorted(range(len(self.inputs)), key=lambda i: i != self.base):
            info = self.inputs[i].tensors.get(task.name)
            if info is not None and info.shape[1:] == task.shape[1:]:
                lengths[i] = info.shape[0] if info.shape else 1
        return lengths


def _check_task(task: TensorTask, inputs: tuple[Checkpoint, ...]) -> None:
    used = [i for i, weight in enumerate(task.weights) if weight]
    if len(task.weights) != len(inputs) or not used:
        raise MergeError(f"tensor `{task.name}`: it needs a weight for each of the inputs")
    if task.method == COPY:
        if len(used) != 1:
            raise MergeError(f"tensor `{task.name}`: a copy is of one input")
    elif get_method(task.method).inputs not in {None, len(inputs)}:
        raise MergeError(
            f"tensor `{task.name}`: {task.method} merges {get_method(task.method).inputs} inputs, "
            f"not {len(inputs)}"
        )
    elif get_method(task.method).sums_deltas and (
        task.deltas is None or task.deltas.base not in used
    ):
        raise MergeError(f"tensor `{task.name}`: {task.method} needs a base, of weight 1")
    for i in used:
        info = inputs[i].tensors.get(task.name)
        if info is None:
            raise MergeError(f"{inputs[i].folder}: tensor `{task.name}` is missing")
        if len(info.shape) != len(task.shape) or info.shape[1:] != task.shape[1:]:
            raise MergeError(
                f"tensor `{task.name}`: its shape is {list(info.shape)} in {inputs[i].folder} "
                f"and {list(task.shape)} in the output",
                hint="models can be merged if all of their tensors have the same shapes",
            )
        _check_dtype(task, info)


def _check_dtype(task: TensorTask, info: TensorInfo) -> None:
    floats = {info.dtype, task.dtype} <= set(FLOATS)
    unchanged = task.method == COPY and info.dtype == task.dtype and not task.work
    if not (floats or unchanged):
        raise MergeError(
            f"tensor `{task.name}` of dtype {info.dtype} cannot be merged into {task.dtype}",
            hint="convert the weights to BF16, F16 or F32 first",
        )
