"""Merges of models of text and images, of which often only the text part is to be merged."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from live_merges import same_bits
from small_merges import tensors
from tiny_families import FAMILIES, change_tensors, save_family_pair

from merger.execution import merge
from merger.live.merged_model import MergedModel
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.verification import verify_merge
from patientdx.models.settings import ModelSettings

# Words in the names of all tensors that are not of the text part.
PARTS = {
    "llava": ("vision_tower", "projector"),
    "qwen2_5_vl": ("visual",),
    "gemma3": ("vision_tower", "projector"),
}
TEXT_ONLY = """
models: [{{model: {0}}}, {{model: {1}}}]
merge_method: slerp
base_model: {0}
parameters:
  t:
    {2}
    - {{filter: self_attn, value: [0.1, 0.9]}}
    - {{value: 0.4}}
"""
ALL = """
models: [{{model: {0}}}, {{model: {1}}}]
merge_method: slerp
base_model: {0}
parameters: {{t: 0.4}}
"""


def merged(recipe: str, into: Path, *parts: object) -> dict[str, Any]:
    """The tensors of the merge of a recipe, by name, after it was verified."""
    read = parse_recipe(recipe.format(*parts))
    merge(MergeJob(read, {ref: Path(ref.path) for ref in read.inputs}), into)
    verify_merge(into)
    return tensors(into)


def keep_vision(family: str) -> str:
    """The lines of the recipe that take all but the text from the base."""
    return "\n    ".join(f"- {{filter: {word}, value: 0}}" for word in PARTS[family])


def is_text(name: str, family: str) -> bool:
    return not any(word in name for word in PARTS[family])


@pytest.mark.parametrize("family", PARTS)
def test_a_recipe_merges_the_text_and_keeps_the_vision_tower(family: str, tmp_path: Path) -> None:
    import transformers

    pair = save_family_pair(tmp_path, family)
    ours = merged(TEXT_ONLY, tmp_path / "out", *pair, keep_vision(family))
    base, other = (tensors(folder) for folder in pair)
    for name, tensor in ours.items():
        assert same_bits(tensor, base[name]) != is_text(name, family), name
    first = [name for name in ours if "layers.0.self_attn.q_proj.weight" in name]
    text = next(name for name in first if is_text(name, family))
    assert (ours[text] - base[text]).float().norm() < (ours[text] - other[text]).float().norm()
    model_class = getattr(transformers, FAMILIES[family].model)
    _, report = model_class.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(report.values())


@pytest.mark.parametrize("family", PARTS)
def test_what_both_inputs_share_stays_bit_by_bit(family: str, tmp_path: Path) -> None:
    pair = save_family_pair(tmp_path, family)
    shared = tensors(pair[0])
    change_tensors(
        pair[1], lambda own: {n: own[n] if is_text(n, family) else shared[n] for n in own}
    )
    ours = merged(ALL, tmp_path / "out", *pair)
    for name, tensor in ours.items():
        assert same_bits(tensor, shared[name]) != is_text(name, family), name


def test_the_live_merge_of_such_a_recipe_is_the_written_one(tmp_path: Path) -> None:
    import transformers

    pair = save_family_pair(tmp_path, "llava")
    merged(TEXT_ONLY, tmp_path / "out", *pair, keep_vision("llava"))
    recipe = parse_recipe(TEXT_ONLY.format(*pair, keep_vision("llava")))
    live = MergedModel.from_recipe(recipe, ModelSettings(dtype="bfloat16")).module.state_dict()
    loaded = transformers.LlavaForConditionalGeneration.from_pretrained(
        tmp_path / "out", dtype="auto"
    ).state_dict()
    assert live.keys() == loaded.keys()
    assert [name for name in live if not same_bits(live[name], loaded[name])] == []
