"""The tensors of a plan that a live merge rewrites at any time, and the moments that this needs."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import combinations
from typing import NamedTuple

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.values import FLOATS, Values
from merger.kernels.dispatch import combine, measure_moments
from merger.kernels.moments import Moments
from merger.kernels.pair_moments import PairMoments
from merger.methods.method import COPY
from merger.planning.merge_plan import MergePlan, Piece, TensorTask
from patientdx.errors import MergeError


class LiveTensor(NamedTuple):
    """A tensor of the output with the inputs that it is made of.

    `inputs` are the rows that all inputs have, one entry per input of the plan, or only that of
    the input that is copied. `copied_rows` are the other rows, by the number where they begin.
    `fixed` says that no weights change the tensor.
    """

    task: TensorTask
    inputs: tuple[Values, ...]
    copied_rows: tuple[tuple[int, Values], ...]
    fixed: bool

    @property
    def size(self) -> int:
        """How many numbers are merged."""
        return self.inputs[0].size

    @property
    def wide(self) -> bool:
        """Whether the arithmetic is float64, because an input is."""
        return any(values.dtype == "F64" for values in self.inputs)

    @property
    def rounding_steps(self) -> tuple[str, ...]:
        """The dtypes that the result is rounded to, one after another."""
        work, dtype = self.task.work, self.task.dtype
        return (dtype,) if work in {"", dtype} else (work, dtype)


def open_live_tensors(plan: MergePlan) -> Iterator[LiveTensor]:
    """Every tensor of a plan with its inputs. Raises MergeError if the inputs do not allow it."""
    plan.check()
    for task in plan.tensors:
        yield _open_live_tensor(plan, task)


def measure_pairs(tensors: Sequence[LiveTensor], pool: Executor) -> dict[str, PairMoments]:
    """The moments of every two inputs, by name of the tensor, for all that are not fixed.

    Raises MergeError for a tensor with numbers that are not finite.
    """
    mixable = [tensor for tensor in tensors if not tensor.fixed]
    names = (tensor.task.name for tensor in mixable)
    return dict(zip(names, pool.map(_measure_pairs, mixable), strict=True))


def _open_live_tensor(plan: MergePlan, task: TensorTask) -> LiveTensor:
    infos = [checkpoint.tensors.get(task.name) for checkpoint in plan.inputs]
    if any(info is None or info.dtype not in FLOATS for info in infos):
        return _open_fixed_tensor(plan, task)
    of_all = task._replace(method="linear", weights=(1.0,) * len(infos))
    MergePlan(plan.inputs, (of_all,), plan.base).check()
    merged, *copied = plan.pieces(of_all)
    inputs = tuple(_values(checkpoint, task, merged) for checkpoint in plan.inputs)
    copied_rows = tuple(
        (piece.start, _values(_source(plan, piece), task, piece)) for piece in copied
    )
    return LiveTensor(task, inputs, copied_rows, fixed=False)


def _open_fixed_tensor(plan: MergePlan, task: TensorTask) -> LiveTensor:
    """A tensor that is always a copy: of integers, or one that an input lacks."""
    if task.method != COPY:
        raise MergeError(f"tensor `{task.name}`: a live merge needs it in all inputs")
    (piece,) = plan.pieces(task)
    return LiveTensor(task, (_values(_source(plan, piece), task, piece),), (), fixed=True)


def _source(plan: MergePlan, piece: Piece) -> Checkpoint:
    return plan.inputs[piece.sources[0]]


def _values(checkpoint: Checkpoint, task: TensorTask, piece: Piece) -> Values:
    """Numbers of an input: mapped, or in memory if the plan rounds inputs first."""
    values = checkpoint.values(task.name).part(piece.start, piece.stop)
    if task.work in {"", values.dtype} or values.dtype not in FLOATS:
        return values
    rounded = Values.empty(values.size, task.work)
    combine([values], [1.0], rounded)
    return rounded


def _measure_pairs(tensor: LiveTensor) -> PairMoments:
    pairs = {
        (i, j): measure_moments(tensor.inputs[i], tensor.inputs[j])
        for i, j in combinations(range(len(tensor.inputs)), 2)
    }
    for pair, moments in pairs.items():
        _check_finite(tensor.task.name, pair, moments)
    return PairMoments(pairs)


def _check_finite(name: str, pair: tuple[int, int], moments: Moments) -> None:
    for i, finite in zip(pair, moments.finite, strict=True):
        if not finite:
            raise MergeError(f"tensor `{name}` of input {i + 1} holds NaN or infinite numbers")
    if not math.isfinite(moments.ab):
        raise MergeError(f"tensor `{name}`: its product over both inputs is not finite")
