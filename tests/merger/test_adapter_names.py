"""Adapters of models whose files have other names than transformers has in memory."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("peft", reason="needs the extras hf and merge")

from family_checks import merge_by_peft
from live_merges import same_bits
from tiny_families import FAMILIES, change_tensors, save_family

from merger.checkpoints.adapter_names import match_adapted_tensors
from merger.checkpoints.adapters import apply_adapter
from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.values import Values
from merger.live.torch_weights import to_tensor
from patientdx.errors import MergeError


def read(checkpoint: Checkpoint) -> dict[str, Any]:
    """The tensors that the index of a checkpoint names."""
    tensors = {}
    for name, info in checkpoint.tensors.items():
        values = checkpoint.values(name)
        tensors[name] = to_tensor(Values(values.data.copy(), values.dtype), info.shape)
    return tensors


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_vl", "qwen3_vl", "mixtral"])
def test_an_adapter_of_a_family_gives_what_peft_gives(family: str, tmp_path: Path) -> None:
    import transformers

    base = save_family(tmp_path / "base", family, 1)
    adapter, expected = merge_by_peft(base, family, tmp_path)
    ours = apply_adapter(Checkpoint.open(base), adapter, tmp_path / "ours")
    tensors = read(ours)
    change_tensors(base, lambda _: tensors)
    model_class = getattr(transformers, FAMILIES[family].model)
    loaded = model_class.from_pretrained(base, dtype="auto").state_dict()
    assert loaded.keys() == expected.keys()
    assert [name for name in loaded if not same_bits(loaded[name], expected[name])] == []


def test_an_adapter_of_a_model_whose_file_lacks_the_prefix(tmp_path: Path) -> None:
    base = save_family(tmp_path / "base", "gpt2", 1)
    adapter, expected = merge_by_peft(base, "gpt2", tmp_path)
    change_tensors(base, lambda own: {n.removeprefix("transformer."): t for n, t in own.items()})
    ours = apply_adapter(Checkpoint.open(base), adapter, tmp_path / "ours")
    for name, tensor in read(ours).items():
        assert same_bits(tensor, expected[f"transformer.{name}"])


def test_an_adapter_of_another_layout_is_refused(tmp_path: Path) -> None:
    base = save_family(tmp_path / "base", "llama", 1)
    adapter, _ = merge_by_peft(base, "llama", tmp_path)
    with pytest.raises(MergeError, match=r"which .* does not have"):
        apply_adapter(
            Checkpoint.open(save_family(tmp_path / "gpt2", "gpt2", 1)), adapter, tmp_path / "ours"
        )


@pytest.mark.parametrize(
    ("adapted", "tensors", "matches"),
    [
        (["model.a.weight"], ["model.a.weight", "a.weight"], ["model.a.weight"]),
        (["a.weight"], ["model.a.weight", "language_model.a.weight"], ["a.weight"]),
        (["a.weight", "model.a.weight"], ["model.a.weight"], ["a.weight", "model.a.weight"]),
        (["model.language_model.a.w"], ["language_model.model.a.w"], ["language_model.model.a.w"]),
        (["model.vision_tower.a.w"], ["vision_tower.vision_model.a.w"],
         ["vision_tower.vision_model.a.w"]),
    ],
)  # fmt: skip
def test_a_name_is_matched_only_where_it_is_clear(
    adapted: list[str], tensors: list[str], matches: list[str]
) -> None:
    assert [*match_adapted_tensors(adapted, tensors).values()] == matches
