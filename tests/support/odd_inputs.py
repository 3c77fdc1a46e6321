"""Checkpoints as other tools and older releases leave them, and merges that are only prepared."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import merge_inputs
import numpy as np
import tiny_checkpoints as tiny

from merger.checkpoints.values import Values, storage_bytes
from merger.planning.job import MergeJob, PreparedMerge, prepare_merge
from merger.recipes.reader import parse_recipe


@dataclass
class RawTensor:
    """A tensor of any dtype with random bytes."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def values(self) -> Values:
        size = storage_bytes(self.dtype, int(np.prod(self.shape)))
        return Values(np.random.default_rng(0).integers(0, 100, size, np.uint8), self.dtype)


def configure(folder: Path, **changes: Any) -> dict[str, Any]:
    """Changes config.json; None removes a key."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **changes}
    config = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(config), "utf-8")
    return config


def make_pair(
    root: Path, extra: Mapping[str, Any] | None = None, **config: Any
) -> tuple[Path, Path]:
    """Two small Llamas `a` and `b` with the tensors `extra` and settings in both."""
    pair = root / "a", root / "b"
    for seed, folder in enumerate(pair):
        tensors = {**tiny.random_tensors(seed), **(extra or {})}
        merge_inputs.make(folder, tensors, **config)
    return pair


def linear_recipe(a: Path, b: Path, more: str = "") -> str:
    """The mean of two models."""
    half = "    parameters: {weight: 0.5}\n"
    return (
        f"models:\n  - model: {a}\n{half}  - model: {b}\n{half}"
        f"merge_method: linear\nbase_model: {a}\n{more}"
    )


def ties_recipe(a: Path, b: Path) -> str:
    """The first model and what the second changed in it, by a method of MergeKit's."""
    return (
        f"models:\n  - model: {a}\n  - model: {b}\n    parameters: {{weight: 0.5}}\n"
        f"merge_method: ties\nbase_model: {a}\n"
    )


def stacked_recipe(a: Path, b: Path) -> str:
    """The first layer of A under both layers of B."""
    part = "  - sources:\n      - model: {}\n        layer_range: {}\n"
    slices = part.format(a, [0, 1]) + part.format(b, [0, 2])
    return f"slices:\n{slices}merge_method: passthrough\ndtype: bfloat16\n"


def slerp_recipe(a: Path, b: Path, weight: float = 0.4) -> str:
    """SLERP with A as the base."""
    return (
        f"models:\n  - model: {a}\n  - model: {b}\nmerge_method: slerp\nbase_model: {a}\n"
        f"parameters: {{t: {weight}}}\n"
    )


def modules_recipe(a: Path, b: Path) -> str:
    """The mean, for the one module that MergeKit calls `default`."""
    half = "          parameters: {weight: 0.5}\n"
    return (
        "modules:\n  default:\n    slices:\n      - sources:\n"
        f"        - model: {a}\n          layer_range: [0, 2]\n{half}"
        f"        - model: {b}\n          layer_range: [0, 2]\n{half}"
        f"merge_method: linear\nbase_model: {a}\n"
    )


def job_of(recipe: str, **options: Any) -> MergeJob:
    """The job of a recipe whose models are folders."""
    parsed = parse_recipe(recipe, "recipe.yml")
    return MergeJob(parsed, {ref: Path(ref.path) for ref in parsed.inputs}, **options)


def prepare(recipe: str, **options: Any) -> PreparedMerge:
    """A merge that is checked and not carried out."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        prepare_merge(job_of(recipe, **options), Path(scratch) / "out") as prepared,
    ):
        return prepared
