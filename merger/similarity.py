"""`merge --check`: how similar two models are, tensor by tensor, and where SLERP is linear."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from .checkpoints.values import FLOATS
from .kernels.dispatch import measure_moments
from .methods.slerp import COSINE_THRESHOLD
from .planning.merge_plan import MergePlan, TensorTask

Progress = Callable[[int], None]
"""Gets the number of tensors that are done."""


@dataclass(frozen=True)
class TensorReport:
    """A tensor: the cosine of the inputs over the merged rows, and the weights in the merge.

    `fallback` says that SLERP is linear for it, `finite` that neither model has NaN or infinity.
    The cosine is None unless the merge has two inputs and the tensor is of floats.
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
    """How many tensors and parameters have |cosine| > 0.9995, where SLERP falls back to linear."""

    tensors: int
    fallback_tensors: int
    parameters: int
    fallback_parameters: int
    lowest: float
    lowest_name: str

    @property
    def tensor_share(self) -> float:
        """Share of tensors on the fallback."""
        return self.fallback_tensors / self.tensors

    @property
    def parameter_share(self) -> float:
        """Share of parameters on the fallback."""
        return self.fallback_parameters / self.parameters

    def __str__(self) -> str:
        return (
            f"|cosine| > {COSINE_THRESHOLD}, where SLERP is linear: {self.fallback_tensors:,} of "
            f"{self.tensors:,} tensors ({self.tensor_share:.1%}), {self.parameter_share:.1%} of "
            f"the parameters; lowest cosine {self.lowest:.6f} ({self.lowest_name})"
        )

    def to_dict(self) -> dict[str, Any]:
        """The counts and shares, for JSON."""
        shares = {"tensor_share": self.tensor_share, "parameter_share": self.parameter_share}
        return {**asdict(self), **shares}


def tensor_reports(
    plan: MergePlan, *, threads: int = 1, on_tensor: Progress = lambda _: None
) -> Iterator[TensorReport]:
    """A report on each tensor of a plan, from one pass over its inputs."""
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for done, task in enumerate(plan.tensors, 1):
            yield _report_tensor(plan, task, pool)
            on_tensor(done)


def summarize_cosines(cosines: Mapping[str, float], plan: MergePlan) -> CosineSummary | None:
    """The summary of the cosines by tensor; None if there are none."""
    sizes = {task.name: prod(task.shape) for task in plan.tensors if task.name in cosines}
    if not sizes:
        return None
    on_fallback = [name for name in sizes if abs(cosines[name]) > COSINE_THRESHOLD]
    lowest = min(sizes, key=lambda name: cosines[name])
    return CosineSummary(
        len(sizes),
        len(on_fallback),
        sum(sizes.values()),
        sum(sizes[name] for name in on_fallback),
        cosines[lowest],
        lowest,
    )


def _report_tensor(plan: MergePlan, task: TensorTask, pool: ThreadPoolExecutor) -> TensorReport:
    cosine, finite = None, True
    if len(plan.inputs) == 2 and task.dtype in FLOATS:
        a, b = (checkpoint.values(task.name) for checkpoint in plan.inputs)
        count = min(prod(task.shape), a.size, b.size)
        moments = measure_moments(a.part(0, count), b.part(0, count), pool=pool)
        finite = all(moments.finite)
        cosine = moments.cosine if finite else None
    fallback = cosine is not None and abs(cosine) > COSINE_THRESHOLD
    return TensorReport(task.name, task.shape, task.method, task.weights, cosine, fallback, finite)
