"""A live merge equals, bit by bit, the merge that is written; on a GPU's path too."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from live_merges import plan_of, same_bits, siblings

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.live.live_parameters import find_live_parameters
from merger.live.live_tensors import measure_pairs, open_live_tensors
from merger.live.merged_model import MergedModel
from merger.live.torch_weights import DeviceWeights
from merger.methods.method import TensorWeights
from merger.methods.registry import compute_sum
from merger.planning.merge_plan import MergePlan
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from patientdx.models.settings import DType, ModelSettings
from patientdx.models.torch.model import HfModel

RECIPE = """
slices:
  - sources: [{{model: {0}, layer_range: [0, 2]}}, {{model: {1}, layer_range: [0, 2]}}]
merge_method: slerp
base_model: {1}
parameters:
  t: [{{filter: self_attn, value: [0.1, 0.9]}}, {{filter: mlp, value: 0.3}}, {{value: 0.5}}]
dtype: {2}
"""


def loaded(folder: Path, dtype: DType) -> dict[str, Any]:
    return dict(HfModel.load(folder, ModelSettings(dtype=dtype)).module.state_dict())


def written(plan: MergePlan, into: Path) -> Path:
    """The merge as a folder, with the configuration and tokenizer of its base."""
    base = plan.inputs[plan.base].folder
    beside = [file for file in base.iterdir() if file.suffix in {".json", ".jinja"}]
    write_merge(plan, into, {file.name: file.read_bytes() for file in beside})
    return into


def assert_same(merged: MergedModel, folder: Path, dtype: DType) -> None:
    wanted = loaded(folder, dtype)
    live = merged.module.state_dict()
    assert live.keys() == wanted.keys()
    for name, tensor in live.items():
        assert same_bits(tensor, wanted[name]), name


@pytest.mark.parametrize("held", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("tied", [False, True])
def test_any_type_in_memory_holds_what_is_written(
    tmp_path: Path, held: DType, dtype: str, *, tied: bool
) -> None:
    folders = siblings(tmp_path, dtype=dtype, tied=tied)
    merged = MergedModel.load(plan_of(folders), settings=ModelSettings(dtype=held))
    for method, t in (("slerp", 0.4), ("linear", 0.7), ("slerp", 0.0)):
        plan = plan_of(folders, method, (1 - t, t))
        assert_same(merged.remix(t, method=method), written(plan, tmp_path / f"{method}-{t}"), held)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_recipe_with_gradients_and_filters(tmp_path: Path, dtype: DType) -> None:
    """Its base is the second model, and where dtypes differ inputs are rounded first."""
    import torch

    folders = siblings(tmp_path, dtype="float16")
    recipe = parse_recipe(RECIPE.format(*folders, dtype))
    plan = plan_merge(recipe, [Checkpoint.open(ref.path) for ref in recipe.inputs])
    merged = MergedModel.load(plan, settings=ModelSettings(dtype=dtype))
    assert_same(merged, written(plan, tmp_path / "recipe"), dtype)
    planned = {name: tensor.clone() for name, tensor in merged.module.state_dict().items()}
    merged.remix(0)
    wanted = loaded(folders[1], dtype)
    assert all(
        torch.equal(tensor.to(wanted[name].dtype), wanted[name])
        for name, tensor in merged.module.state_dict().items()
    )
    merged.apply_plan(plan)
    assert all(
        same_bits(tensor, planned[name]) for name, tensor in merged.module.state_dict().items()
    )


@pytest.mark.parametrize("more", [0, 7])
def test_vocabularies_of_two_sizes(tmp_path: Path, more: int) -> None:
    pair = [siblings(tmp_path, rows=more)[0], siblings(tmp_path, rows=7 - more)[1]]
    rows = Checkpoint.open(pair[0]).tensors["lm_head.weight"].shape[0]
    merged = MergedModel.load(plan_of(pair, rows=rows), settings=ModelSettings(dtype="bfloat16"))
    assert_same(merged, written(plan_of(pair, rows=rows), tmp_path / "out"), "bfloat16")


def test_the_path_of_a_gpu_gives_the_same_bits(tmp_path: Path) -> None:
    """Run on the computer's own memory: the same operations of torch."""
    folders = siblings(tmp_path, 3)
    plan = plan_of(folders, "linear", (0.2, 0.3, 0.5))
    merged = MergedModel.load(plan, settings=ModelSettings(dtype="float32"))
    other = MergedModel.load(plan, settings=ModelSettings(dtype="float32")).remix((1, 0, 0))
    shapes = {task.name: task.shape for task in plan.tensors}
    live = find_live_parameters(other.module, shapes).places
    some = list(open_live_tensors(plan))
    device = DeviceWeights(live, some)
    with ThreadPoolExecutor(1) as pool:
        pairs = measure_pairs(some, pool)
    for mix in (
        TensorWeights("linear", (0.2, 0.3, 0.5)),
        TensorWeights("multislerp", (0.5, 0.25, 0.25)),
    ):
        merged.remix(mix)
        device.write({name: compute_sum(mix, moments) for name, moments in pairs.items()})
        for name, tensor in merged.module.state_dict().items():
            assert same_bits(tensor, other.module.state_dict()[name]), name
