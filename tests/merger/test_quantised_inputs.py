"""Quantised weights are refused whatever the recipe says: they mean nothing without scales."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import odd_inputs
import pytest
import tiny_checkpoints as tiny
from odd_inputs import RawTensor

from merger.live.merged_model import MergedModel
from patientdx.errors import MergeError

UP = "model.layers.0.mlp.up_proj"
RECIPES: dict[str, Callable[[Path, Path], str]] = {
    "models": odd_inputs.linear_recipe,
    "slices": odd_inputs.stacked_recipe,
    "tokenizer": lambda a, b: odd_inputs.linear_recipe(a, b, "tokenizer: {source: base}\n"),
    "tokenizer_source": lambda a, b: odd_inputs.linear_recipe(a, b, "tokenizer_source: union\n"),
    "chat template": lambda a, b: odd_inputs.linear_recipe(a, b, "chat_template: chatml\n"),
    "modules": odd_inputs.modules_recipe,
    "ties": odd_inputs.ties_recipe,
}
FP8 = {f"{UP}.weight": RawTensor((48, 16), "F8_E4M3")}
QUANTISED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "setting": ({}, {"quantization_config": {"bits": 4}}, "has a quantization_config"),
    "setting of a part": (
        {},
        {"text_config": {"quantization_config": {"quant_method": "fp8"}}},
        "has a quantization_config",
    ),
    "MLX": ({}, {"quantization": {"bits": 4, "group_size": 64}}, "has a quantization"),
    "fp8": (
        FP8 | {f"{UP}.weight_scale_inv": tiny.Tensor([[0.1]])},
        {},
        f"tensor `{UP}.weight` is F8_E4M3",
    ),
    "fp8 without scales": (FP8, {}, "is F8_E4M3"),
    "fp8 of AMD": ({f"{UP}.weight": RawTensor((48, 16), "F8_E4M3FNUZ")}, {}, "is F8_E4M3FNUZ"),
    "scale beside bf16": (
        {f"{UP}.weight_scale": tiny.Tensor([[0.1]])},
        {},
        f"tensor `{UP}.weight_scale` belongs to quantised weights",
    ),
    "four bits in bytes": ({f"{UP}.weight": RawTensor((384, 1), "U8")}, {}, "is U8"),
    "eight bits": ({f"{UP}.weight": RawTensor((48, 16), "I8")}, {}, "is I8"),
    "GPTQ": (
        {f"{UP}.qweight": RawTensor((2, 48), "I32"), f"{UP}.qzeros": RawTensor((1, 6), "I32")},
        {},
        f"tensor `{UP}.qweight` belongs",
    ),
    "MXFP4": (
        {"model.layers.0.mlp.experts.down_proj_blocks": RawTensor((2, 16, 3, 16), "U8")},
        {},
        "belongs to quantised",
    ),
    "FP4": ({f"{UP}.weight": RawTensor((48, 16), "F4")}, {}, "is F4"),
}


@pytest.mark.parametrize("kind", QUANTISED)
@pytest.mark.parametrize("recipe", RECIPES)
def test_quantised_weights_are_refused(tmp_path: Path, recipe: str, kind: str) -> None:
    tensors, settings, reason = QUANTISED[kind]
    a, b = odd_inputs.make_pair(tmp_path, tensors, **settings)
    with pytest.raises(MergeError, match=r"weights of .* are quantised") as caught:
        odd_inputs.prepare(RECIPES[recipe](a, b))
    assert reason in caught.value.message
    assert caught.value.hint == "merge the models that it was made from"


@pytest.mark.parametrize("side", [0, 1])
def test_one_quantised_input_is_enough(tmp_path: Path, side: int) -> None:
    pair = odd_inputs.make_pair(tmp_path)
    odd_inputs.configure(pair[side], quantization_config={"quant_method": "fp8"})
    with pytest.raises(MergeError, match=f"weights of {pair[side]} are quantised"):
        odd_inputs.prepare(odd_inputs.stacked_recipe(*pair))


@pytest.mark.parametrize("recipe", ["models", "slices", "tokenizer", "modules"])
def test_plain_weights_are_not_taken_for_quantised_ones(tmp_path: Path, recipe: str) -> None:
    """Integers that are no weights, tensors that scale something, an empty setting."""
    extra = {
        "model.position_ids": RawTensor((1, 8), "I64"),
        "model.layer_scale": tiny.Tensor([1.0, 2.0]),
        "logit_scale": tiny.Tensor(3.0),
    }
    a, b = odd_inputs.make_pair(tmp_path, extra, quantization_config={})
    assert odd_inputs.prepare(RECIPES[recipe](a, b)).inputs[0].tensors.keys() >= extra.keys()


def test_a_live_merge_refuses_quantised_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    a, b = odd_inputs.make_pair(tmp_path, FP8)
    recipe = odd_inputs.job_of(odd_inputs.slerp_recipe(a, b)).recipe
    with pytest.raises(MergeError, match="are quantised"):
        MergedModel.from_recipe(recipe)
