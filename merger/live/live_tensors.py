"""The tensors of a plan that can be mixed anew at any time, and the moments that this needs."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import combinations
from typing import NamedTuple

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.values import FLOATS, Values
from merger.kernels.dispatch import Moments, combine, moments
from merger.planning.merge_plan import MergePlan, Piece, TensorTask
from patientdx.errors import MergeError

from .mixes import PairMoments


class LiveTensor(NamedTuple):
    """A tensor of the output: the rows that all inputs have, and copies for those that some lack.

    `inputs` are the common rows, of all inputs of the plan, or of the one that is copied. `fixed`
    says that no mix changes it. Results are rounded to the dtypes of `steps`, in order.
    """

    task: TensorTask
    inputs: tuple[Values, ...]
    copied_rows: tuple[tuple[int, Values], ...]
    fixed: bool

    @property
    def size(self) -> int:
        """Numbers that are mixed."""
        return self.inputs[0].size

    @property
    def rounding_steps(self) -> tuple[str, ...]:
        """The dtypes that the result takes, one after another."""
        work, dtype = self.task.work, self.task.dtype
        return (dtype,) if work in {"", dtype} else (work, dtype)


def open_live_tensors(plan: MergePlan) -> Iterator[LiveTensor]:
    """Every tensor of a plan as a blend. Raises MergeError where the inputs do not allow it."""
    plan.check()
    for task in plan.tensors:
        yield _open_live_tensor(plan, task)


def _open_live_tensor(plan: MergePlan, task: TensorTask) -> LiveTensor:
    infos = [one.tensors.get(task.name) for one in plan.inputs]
    if any(info is None or info.dtype not in FLOATS for info in infos):
        return _open_fixed_tensor(plan, task)
    every = task._replace(method="linear", weights=(1.0,) * len(infos))
    MergePlan(plan.inputs, (every,), plan.base).check()
    merged, *copied = plan.pieces(every)
    inputs = tuple(_values(one, task, merged) for one in plan.inputs)
    tails = tuple((piece.start, _values(_source(plan, piece), task, piece)) for piece in copied)
    return LiveTensor(task, inputs, tails, fixed=False)


def _open_fixed_tensor(plan: MergePlan, task: TensorTask) -> LiveTensor:
    """A tensor that is no mix of all inputs: integers, or one that an input lacks."""
    if task.method != "copy":
        raise MergeError(f"tensor `{task.name}`: a live merge needs it in all inputs")
    (piece,) = plan.pieces(task)
    return LiveTensor(task, (_values(_source(plan, piece), task, piece),), (), fixed=True)


def _source(plan: MergePlan, piece: Piece) -> Checkpoint:
    return plan.inputs[piece.sources[0]]


def _values(checkpoint: Checkpoint, task: TensorTask, piece: Piece) -> Values:
    """Numbers of an input, mapped; where the plan rounds inputs first, rounded and kept."""
    found = checkpoint.values(task.name).part(piece.start, piece.stop)
    if task.work in {"", found.dtype} or found.dtype not in FLOATS:
        return found
    rounded = Values.empty(found.size, task.work)
    combine([found], [1.0], rounded)
    return rounded


def measure_pairs(some: Sequence[LiveTensor], pool: Executor) -> dict[str, PairMoments]:
    """The moments of every two inputs of every blend that can be mixed.

    Raises MergeError for a tensor with numbers that are not finite.
    """
    mixed = [blend for blend in some if not blend.fixed]
    return dict(
        zip((blend.task.name for blend in mixed), pool.map(_measure_pairs, mixed), strict=True)
    )


def _measure_pairs(blend: LiveTensor) -> PairMoments:
    found = {
        (i, j): moments(blend.inputs[i], blend.inputs[j])
        for i, j in combinations(range(len(blend.inputs)), 2)
    }
    for pair, one in found.items():
        _check_finite(blend.task.name, pair, one)
    wide = any(values.dtype == "F64" for values in blend.inputs)
    return PairMoments(found, wide)


def _check_finite(name: str, pair: tuple[int, int], found: Moments) -> None:
    for one, finite in zip(pair, found.finite, strict=True):
        if not finite:
            raise MergeError(f"tensor `{name}` of input {one + 1} holds NaN or infinite numbers")
    if not math.isfinite(found.ab):
        raise MergeError(f"tensor `{name}`: its product over both inputs is not finite")
