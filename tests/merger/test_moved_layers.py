"""Slices that move layers, and methods of MergeKit, on families that MergeKit 0.1.5 gets wrong.

Each output is loaded by transformers, which reports no key missing or passed over, and its tensors
are those of the layers that the recipe names, or those of MergeKit's method applied in memory.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from merger import MergeJob, merge, parse_recipe
from merger.recipes.recipe import MergeRecipe
from merger.recipes.writer import to_yaml
from patientdx.errors import MergeError

pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("mergekit", reason="needs the extra merge")
from family_models import FAMILIES, save_model, save_pair

PREFIXES = {
    "bloom": "transformer.h",
    "gpt2": "transformer.h",
    "opt": "model.decoder.layers",
    "gptneox": "gpt_neox.layers",
}


def stack_recipe(pair: Sequence[Path], *ranges: tuple[int, int]) -> MergeRecipe:
    """Layers of the first model, then layers of the second, and so on in turn."""
    slices = [
        {"sources": [{"model": str(pair[n % 2]), "layer_range": list(layers)}]}
        for n, layers in enumerate(ranges)
    ]
    return parse_recipe(
        to_yaml({"slices": slices, "merge_method": "passthrough", "dtype": "bfloat16"})
    )


def run(recipe: MergeRecipe, into: Path) -> dict[str, Any]:
    """Merges, and returns the config.json of the output."""
    folders = {ref: Path(ref.path) for ref in recipe.inputs}
    merge(MergeJob(recipe, folders), into)
    config: dict[str, Any] = json.loads((into / "config.json").read_text())
    return config


def load(folder: Path, family: str) -> Any:
    """The model of a folder, loaded without any key missing, passed over or of another shape."""
    import transformers

    kind = getattr(transformers, FAMILIES[family][0])
    model, report = kind.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model


def tensors(folder: Path) -> dict[str, Any]:
    """The tensors of a folder of one file."""
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize(
    "family",
    [
        *("smollm3", "qwen2moe", "qwen2", "qwen3", "gemma2", "gemma3", "gpt_oss", "deepseek3"),
        *("opt", "bloom", "gpt2", "gptneox", "mixtral", "llama"),
    ],
)
def test_layers_of_two_models_are_stacked(tmp_path: Path, family: str) -> None:
    pair = save_pair(tmp_path, family)
    run(stack_recipe(pair, (0, 2), (1, 3)), tmp_path / "out")
    model = load(tmp_path / "out", family)
    assert model.config.num_hidden_layers == 4
    out = tensors(tmp_path / "out")
    prefix = PREFIXES.get(family, "model.layers") + "."
    expected = {}
    for number, (side, source) in enumerate([(0, 0), (0, 1), (1, 1), (1, 2)]):
        start = f"{prefix}{source}."
        for name, tensor in tensors(pair[side]).items():
            if name.startswith(start):
                expected[prefix + f"{number}." + name.removeprefix(start)] = tensor
    assert {name for name in out if name.startswith(prefix)} == set(expected)
    assert all((out[name] == tensor).all() for name, tensor in expected.items())


def test_lists_of_layers_follow_their_sources(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    rope = {"layer_types": kinds, "no_rope_layers": [1, 0, 1], "use_sliding_window": True}
    pair = save_pair(tmp_path, "smollm3", **rope, sliding_window=16)
    config = run(stack_recipe(pair, (1, 3), (0, 2), (2, 3)), tmp_path / "out")
    assert config["layer_types"] == [kinds[n] for n in (1, 2, 0, 1, 2)]
    assert config["no_rope_layers"] == [0, 1, 1, 0, 1]


def test_lists_that_only_the_class_computes_follow_too(tmp_path: Path) -> None:
    """Gemma 2 of older files has no `layer_types`: every second layer is a sliding one."""
    pair = save_pair(tmp_path, "gemma2")
    for folder in pair:
        config = json.loads((folder / "config.json").read_text())
        kinds = config.pop("layer_types")
        (folder / "config.json").write_text(json.dumps(config))
    config = run(stack_recipe(pair, (1, 3), (1, 2)), tmp_path / "out")
    assert config["layer_types"] == [kinds[1], kinds[2], kinds[1]]
    assert load(tmp_path / "out", "gemma2").config.layer_types == config["layer_types"]


def test_layers_that_are_listed_by_number_are_renumbered(tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "qwen2moe", mlp_only_layers=[1])
    config = run(stack_recipe(pair, (1, 3), (0, 2)), tmp_path / "out")
    assert config["mlp_only_layers"] == [0, 3]
    load(tmp_path / "out", "qwen2moe")


def test_kinds_of_attention_of_gpt_neo(tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "gpt_neo")
    run(stack_recipe(pair, (1, 4), (0, 2)), tmp_path / "out")
    model = load(tmp_path / "out", "gpt_neo")
    assert model.config.attention_layers == ["local", "global", "local", "global", "local"]


def test_first_dense_layers_are_counted(tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "deepseek3", first_k_dense_replace=2)
    config = run(stack_recipe(pair, (0, 1), (2, 3)), tmp_path / "out")
    assert config["first_k_dense_replace"] == 1
    load(tmp_path / "out", "deepseek3")
    with pytest.raises(MergeError, match="`first_k_dense_replace` cannot describe that"):
        run(stack_recipe(pair, (2, 3), (0, 2)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_layers_that_predict_further_tokens_are_left_out(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    pair = save_pair(tmp_path, "deepseek3", num_nextn_predict_layers=1)
    for folder in pair:
        own = tensors(folder)
        more = {
            name.replace("layers.2.", "layers.3."): tensor.clone()
            for name, tensor in own.items()
            if "layers.2." in name
        }
        save_file(own | more, folder / "model.safetensors", {"format": "pt"})
    config = run(stack_recipe(pair, (0, 2), (1, 3)), tmp_path / "out")
    assert config["num_nextn_predict_layers"] == 0
    load(tmp_path / "out", "deepseek3")


@pytest.mark.parametrize("family", ["t5", "llava"])
def test_slices_of_several_stacks_are_refused(tmp_path: Path, family: str) -> None:
    pair = save_pair(tmp_path, family)
    with pytest.raises(MergeError, match="which are for models of one stack of layers"):
        run(stack_recipe(pair, (0, 2), (1, 2)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_layers_that_a_model_lacks_are_refused(tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "llama")
    with pytest.raises(MergeError, match=r"takes layer 3 of .*B, which has layers 0 to 2"):
        run(stack_recipe(pair, (0, 2), (1, 4)), tmp_path / "out")


def test_models_of_different_depth_are_stacked(tmp_path: Path) -> None:
    small = save_model(tmp_path / "small", "qwen3")
    large = save_model(tmp_path / "large", "qwen3", seed=1, num_hidden_layers=5)
    config = run(stack_recipe((small, large), (0, 2), (3, 5)), tmp_path / "out")
    assert config["num_hidden_layers"] == len(config["layer_types"]) == 4
    load(tmp_path / "out", "qwen3")


@pytest.mark.parametrize(
    "family", ["llava", "deepseek3", "mixtral", "qwen2moe", "whisper", "gptneox", "t5", "gemma2"]
)
def test_ties_has_all_tensors_as_its_formula_gives_them(tmp_path: Path, family: str) -> None:
    import torch
    from mergekit.merge_methods import merge_state_dicts

    a, b = save_pair(tmp_path, family, dtype="float32")
    models = [{"model": str(a)}, {"model": str(b), "parameters": {"weight": 0.5, "density": 0.5}}]
    recipe = {"models": models, "merge_method": "ties", "base_model": str(a), "dtype": "float32"}
    run(parse_recipe(to_yaml(recipe)), tmp_path / "out")
    load(tmp_path / "out", family)
    out = tensors(tmp_path / "out")
    expected = merge_state_dicts(
        [tensors(a), tensors(b)],
        "ties",
        parameters={"weight": 0.5, "density": 0.5},
        base=0,
    )
    assert out.keys() == expected.keys()
    assert all(torch.allclose(out[name], tensor, atol=1e-6) for name, tensor in expected.items())
