"""`merge --check`: how alike two models are, tensor by tensor, and where SLERP is linear."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from .kernels.dispatch import THRESHOLD, moments
from .planning.merge_plan import MergePlan, TensorTask

Progress = Callable[[int], None]
"""Told how many tensors are done."""


@dataclass(frozen=True)
class TensorReport:
    """A tensor: its cosine over the rows that are merged, and the weights it will be made with.

    `fallback` says that SLERP is linear on it; `finite` that neither model has NaN or infinity.
    The cosine is None where the merge has not two inputs, and for what is no float.
    """

    name: str
    shape: tuple[int, ...]
    method: str
    weights: tuple[float, ...]
    cosine: float | None
    fallback: bool
    finite: bool


@dataclass(frozen=True)
class CosineSummary:
    """How much of a merge SLERP leaves to linear: |cosine| > 0.9995."""

    tensors: int
    fallback_tensors: int
    parameters: int
    fallback_parameters: int
    lowest: float
    lowest_name: str

    @property
    def tensor_share(self) -> float:
        """The share of tensors on the fallback."""
        return self.fallback_tensors / self.tensors

    @property
    def parameter_share(self) -> float:
        """The share of parameters on the fallback."""
        return self.fallback_parameters / self.parameters

    def __str__(self) -> str:
        return (
            f"|cosine| > {THRESHOLD}, where SLERP is linear: {self.fallback_tensors:,} of "
            f"{self.tensors:,} tensors ({self.tensor_share:.1%}), {self.parameter_share:.1%} of "
            f"the parameters; lowest cosine {self.lowest:.6f} ({self.lowest_name})"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        shares = {"tensor_share": self.tensor_share, "parameter_share": self.parameter_share}
        return {**asdict(self), **shares}


def tensor_reports(
    plan: MergePlan, *, threads: int = 1, on_tensor: Progress = lambda _: None
) -> Iterator[TensorReport]:
    """A report for each tensor of a plan, from one pass over its inputs."""
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for done, task in enumerate(plan.tensors, 1):
            yield _report_tensor(plan, task, pool)
            on_tensor(done)


def summarize_cosines(cosines: Mapping[str, float], plan: MergePlan) -> CosineSummary | None:
    """The summary of cosines by name; None where there are none."""
    sizes = {task.name: prod(task.shape) for task in plan.tensors if task.name in cosines}
    if not sizes:
        return None
    near = [name for name in sizes if abs(cosines[name]) > THRESHOLD]
    lowest = min(sizes, key=lambda name: cosines[name])
    return CosineSummary(
        len(sizes),
        len(near),
        sum(sizes.values()),
        sum(sizes[name] for name in near),
        cosines[lowest],
        lowest,
    )


def _report_tensor(plan: MergePlan, task: TensorTask, pool: ThreadPoolExecutor) -> TensorReport:
    cosine, finite = None, True
    if len(plan.inputs) == 2 and task.dtype in {"BF16", "F16", "F32", "F64"}:
        sides = [one.values(task.name) for one in plan.inputs]
        count = min(prod(task.shape), sides[0].size, sides[1].size)
        found = moments(*(side.part(0, count) for side in sides), pool=pool)
        finite = all(found.finite)
        cosine = found.cosine if finite else None
    near = cosine is not None and abs(cosine) > THRESHOLD
    return TensorReport(task.name, task.shape, task.method, task.weights, cosine, near, finite)
