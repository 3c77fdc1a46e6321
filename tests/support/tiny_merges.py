"""Plans for small checkpoints, and what their outputs should be: float64 formulas, and bytes."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.values import Values
from merger.kernels.numpy_kernels import unpack
from merger.planning.merge_plan import MergePlan, TensorTask


def plan_of(
    inputs: Sequence[Checkpoint],
    method: str,
    weights: tuple[float, ...],
    dtype: str | None = None,
    work: str = "",
) -> MergePlan:
    """Every tensor of the first input by one method, in its dtype and shape."""
    tasks = tuple(
        TensorTask(info.name, dtype or info.dtype, info.shape, method, weights, work)
        for info in inputs[0].tensors.values()
    )
    return MergePlan(tuple(inputs), tasks)


def wide(values: Values) -> np.ndarray:
    return unpack(values).astype(np.float64)


def slerped(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """merging.md, section 1, in float64."""
    na, nb = (n if (n := float(np.linalg.norm(x))) > 1e-8 else 1.0 for x in (a, b))
    cosine = max(-1.0, min(1.0, float(a @ b) / na / nb))
    if abs(cosine) > 0.9995:
        return (1 - t) * a + t * b
    theta = math.acos(cosine)
    return (math.sin((1 - t) * theta) * a + math.sin(t * theta) * b) / math.sin(theta)


def ulps(values: np.ndarray, dtype: str) -> np.ndarray:
    """The step between numbers of a dtype at `values`."""
    digits, lowest = {"BF16": (8, -126), "F16": (11, -14), "F32": (24, -126), "F64": (53, -1022)}[
        dtype
    ]
    exponent = np.frexp(np.maximum(np.abs(values), 2.0**lowest))[1]
    return np.asarray(np.ldexp(1.0, exponent - digits))


def rounded(found: np.ndarray, expected: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether `found` is bfloat16 of what float32 arithmetic with a and b makes of `expected`."""
    arithmetic = 4e-7 * (np.abs(a) + np.abs(b))
    return bool(np.all(np.abs(found - expected) <= 0.5 * ulps(expected, "BF16") + arithmetic))


def digest(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }
