"""Merges of every engine that are killed at any time: nothing half, and the next run is right.

PATIENTDX_KILLS=100 python -m pytest tests/merger/test_crash_of_every_engine.py kills 100 of them.
"""

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")

import tiny_checkpoints as tiny
from crash_jobs import CrashJob, merge_job, run_job, verify_job
from small_merges import save_model
from tiny_merges import digest

from merger.checkpoints.checkpoint import Checkpoint

KILLS = int(os.environ.get("PATIENTDX_KILLS", "10"))
SPARSE = "weight: 0.5, density: 0.5"

# Name: the engine, the method, what it sets for the second model, and for the recipe.
MERGES = {
    "linear": ("stream", "linear", "weight: 0.4", "weight: 0.6"),
    "slerp": ("stream", "slerp", "", "t: 0.4"),
    "slerp with an adapter": ("stream", "slerp", "", "t: 0.4"),
    "task arithmetic": ("stream", "task_arithmetic", "weight: 0.4", ""),
    "slerp by MergeKit": ("mergekit", "slerp", "", "t: 0.4"),
    "ties": ("mergekit", "ties", SPARSE, "int8_mask: true"),
    "dare_ties from a seed": ("mergekit", "dare_ties", SPARSE, ""),
    "della": ("mergekit", "della", f"{SPARSE}, epsilon: 0.1", ""),
}
LOADED = "task arithmetic"
"""The merge that transformers loads before it appears."""
SHARES = {name: (KILLS + at) // len(MERGES) for at, name in enumerate(reversed(MERGES))}
"""The number of kills of each merge, which add up to all of them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models `a` and `b` in two files each, and an adapter of `b`."""
    place = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        sizes: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 4}
        save_model(place / name, seed=seed, shard="600KB", tokenizer=True, **sizes)
    write_adapter(place / "lora", place / "b")
    return place


@pytest.fixture(params=MERGES)
def job(request: pytest.FixtureRequest, models: Path, tmp_path: Path) -> CrashJob:
    """A merge in a folder of its own."""
    name: str = request.param
    engine, method, own, shared = MERGES[name]
    second = f"{models / 'b'}+{models / 'lora'}" if "adapter" in name else models / "b"
    seed = "random_seed: 7\n" if "seed" in name else ""
    recipe = f"""\
models:
- model: {models / "a"}
- model: {second}
  parameters: {{{own}}}
merge_method: {method}
base_model: {models / "a"}
parameters: {{{shared}}}
{seed}"""
    (tmp_path / f"{name}.yml").write_text(recipe, encoding="utf-8")
    return CrashJob(tmp_path, f"{name}.yml", engine, load_check=name == LOADED)


def write_adapter(folder: Path, base: Path) -> None:
    """A LoRA of rank 2 on the query projections of a model."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, info in Checkpoint.open(base).tensors.items():
        if "q_proj" in name:
            module, (rows, columns) = name.removesuffix(".weight"), info.shape
            for part, shape in (("lora_A", (2, columns)), ("lora_B", (rows, 2))):
                numbers = rng.standard_normal(shape) * 0.1
                tensors[f"base_model.model.{module}.{part}.weight"] = tiny.Tensor(numbers, "F32")
    folder.mkdir()
    tiny._write_file(folder / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def hidden(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name.startswith("."))


def test_killed_merges(job: CrashJob, record_property: Any) -> None:
    name = job.recipe.removesuffix(".yml")
    whole = run_job(merge_job, job)
    assert str(whole.result).startswith(job.engine)
    expected = digest(job.into)
    assert len([file for file in expected if file.endswith(".safetensors")]) > 1
    shutil.rmtree(job.into)
    random, unfinished = Random(name), 0
    for _ in range(SHARES[name]):
        killed = run_job(merge_job, job, kill_after=random.uniform(0, 1.1 * whole.seconds))
        assert job.into.exists() or not killed.finished
        if not job.into.exists():
            unfinished += 1
            assert run_job(merge_job, job).finished
        # What lies under the name is whole, whether the killed run or the next one made it.
        assert digest(job.into) == expected
        different, same = run_job(verify_job, job).result
        assert different == []
        assert same == len(expected)
        shutil.rmtree(job.into)
    assert run_job(merge_job, job).finished
    assert hidden(job.place) == []
    record_property("kills", SHARES[name])
    record_property("unfinished", unfinished)
    print(f"{name}: {SHARES[name]} kills, {unfinished} before the end")
    assert unfinished or SHARES[name] < 5
