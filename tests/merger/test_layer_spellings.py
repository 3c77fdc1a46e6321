"""Merges of families whose config.json spells the number of layers in other ways."""

from pathlib import Path

import pytest

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.mergekit import run_mergekit
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from merger.recipes.recipe import MergeRecipe
from merger.recipes.writer import to_yaml

pytest.importorskip("transformers", reason="needs the extra hf")
from family_models import save_pair


def gradient(a: Path, b: Path) -> MergeRecipe:
    """A mean of two models whose weights change over the layers."""
    models = [
        {"model": str(a), "parameters": {"weight": [0.9, 0.2, 0.4]}},
        {"model": str(b), "parameters": {"weight": [0.1, 0.8, 0.6]}},
    ]
    return parse_recipe(to_yaml({"models": models, "merge_method": "linear"}))


@pytest.mark.parametrize("family", ["gpt2", "bloom", "opt", "t5"])
def test_gradients_are_those_of_mergekit(tmp_path: Path, family: str) -> None:
    pytest.importorskip("mergekit", reason="needs the extra merge")
    from merger.engines.stream import write_merge

    pair = save_pair(tmp_path, family, dtype="float32")
    recipe = gradient(*pair)
    inputs = [Checkpoint.open(folder) for folder in pair]
    write_merge(plan_merge(recipe, inputs), tmp_path / "ours")
    run_mergekit(recipe, dict(zip(recipe.inputs, pair, strict=True)), tmp_path / "theirs")
    from safetensors.torch import load_file

    ours = load_file(tmp_path / "ours" / "model.safetensors")
    theirs = load_file(tmp_path / "theirs" / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() <= 1e-6, name


def test_layers_without_a_count_are_merged_if_no_gradient_needs_it(tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "gpt2")
    for folder in pair:
        config = (folder / "config.json").read_text()
        changed = config.replace('"gpt2"', '"never-seen"').replace("n_layer", "floors")
        (folder / "config.json").write_text(changed)
    inputs = [Checkpoint.open(folder) for folder in pair]
    recipe = {
        "models": [{"model": str(folder), "parameters": {"weight": 1}} for folder in pair],
        "merge_method": "linear",
    }
    plan = plan_merge(parse_recipe(to_yaml(recipe)), inputs)
    assert len(plan.tensors) == len(inputs[0].tensors)
    with pytest.raises(Exception, match="no number of layers that fits"):
        plan_merge(gradient(*pair), inputs)
