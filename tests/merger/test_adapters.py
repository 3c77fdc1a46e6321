"""LoRA adapters: what PEFT's merge_and_unload gives, and refusals of other kinds."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("peft", reason="needs the extras hf and merge")

import peft
import torch
from small_merges import by_mergekit, loaded, save_model, tensors, ulps
from transformers import AutoModelForCausalLM

from merger.checkpoints.adapters import apply_adapter
from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from merger.verification import verify_merge
from patientdx.errors import InputError, MergeError, PatientDxError


def save_adapter(base: Path, folder: Path, *, dtype: str = "float32", **options: Any) -> Path:
    """An adapter of random A and B."""
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
        made = peft.get_peft_model(net, peft.LoraConfig(**(settings | options)))
        torch.manual_seed(5)
        with torch.no_grad():
            for name, tensor in made.named_parameters():
                if "lora_" in name or "modules_to_save" in name:
                    tensor.copy_(torch.randn(tensor.shape) * 0.05)
                    tensor.data = tensor.data.to(getattr(torch, dtype))
        made.save_pretrained(folder)
    return folder


def by_peft(base: Path, adapter: Path) -> dict[str, Any]:
    """The tensors that PEFT's own merge gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
        merged = peft.PeftModel.from_pretrained(net, adapter).merge_and_unload()
    state: dict[str, Any] = merged.state_dict()
    return state


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all layers": {"target_modules": "all-linear"},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.down_proj": 32}},
    "embeddings": {"target_modules": ["embed_tokens", "k_proj"]},
    "modules saved whole": {"modules_to_save": ["lm_head"]},
    "bf16": {"dtype": "bfloat16"},
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_gives_what_peft_gives(kind: str, dtype: str, tmp_path: Path) -> None:
    save_model(tmp_path / "base", seed=1, dtype=dtype)
    adapter = save_adapter(tmp_path / "base", tmp_path / "adapter", **KINDS[kind])
    base = Checkpoint.open(tmp_path / "base")
    apply_adapter(base, adapter, tmp_path / "ours")
    ours, theirs = by_name(tmp_path / "ours"), by_peft(tmp_path / "base", adapter)
    before = tensors(tmp_path / "base")
    assert ours.keys() == theirs.keys() == before.keys()
    changed = 0
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-7)
        changed += not torch.equal(ours[name], before[name])
    assert changed >= 3


def by_name(folder: Path) -> dict[str, Any]:
    """The tensors that a checkpoint's index names."""
    checkpoint = Checkpoint.open(folder)
    kinds = {"BF16": torch.bfloat16, "F32": torch.float32}
    return {
        name: torch.from_numpy(checkpoint.values(name).data.copy())
        .view(kinds[info.dtype])
        .reshape(info.shape)
        for name, info in checkpoint.tensors.items()
    }


@pytest.mark.parametrize("engine", ["stream", "mergekit"])
def test_a_model_with_its_adapter_is_merged_as_mergekit_does(engine: Any, tmp_path: Path) -> None:
    save_model(tmp_path / "a", seed=1)
    save_model(tmp_path / "b", seed=2, shard="60KB")
    adapter = save_adapter(tmp_path / "b", tmp_path / "lora")
    data = two_model_recipe("slerp", str(tmp_path / "a"), f"{tmp_path / 'b'}+{adapter}", 0.4)
    recipe = parse_recipe(to_yaml(data))
    a, b = recipe.inputs
    folders = {a: tmp_path / "a", b: tmp_path / "b"}
    job = MergeJob(recipe, folders, {b: adapter}, engine=engine)
    merge(job, tmp_path / "ours")
    theirs = by_mergekit(data, tmp_path / "theirs", lora_merge_cache=str(tmp_path / "cache"))
    ours, expected = tensors(tmp_path / "ours"), tensors(theirs)
    for name in expected:
        # The sums B·A round differently: where terms cancel, steps grow small.
        torch.testing.assert_close(ours[name], expected[name], rtol=2**-7, atol=1e-6)
    assert sum(ulps(ours[name], expected[name]) == 0 for name in expected) > len(expected) / 2
    loaded(tmp_path / "ours")
    assert list(tmp_path.glob(".*")) == []
    facts = verify_merge(tmp_path / "ours")
    assert (facts.different, len(facts.provenance.inputs)) == ((), 2)
    assert len(str(facts.provenance.inputs[1].adapter_digest)) == 64
    card = (tmp_path / "ours/README.md").read_text(encoding="utf-8")
    assert "base_model:\n- a\n- b\n- lora\n" in card
    other = save_adapter(tmp_path / "b", adapter, r=2)
    with pytest.raises(MergeError, match="is not the one that was merged"):
        verify_merge(tmp_path / "ours")
    assert other == adapter


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "`use_dora`"),
        ({"peft_type": "IA3"}, "of the kind IA3"),
        ({"init_lora_weights": "pissa"}, "begun by `pissa`"),
        ({"layer_replication": [[0, 1]]}, "`layer_replication`"),
    ],
)
def test_adapters_of_other_kinds_are_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    save_model(tmp_path / "base", seed=1)
    adapter = save_adapter(tmp_path / "base", tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    with pytest.raises(InputError) as caught:
        apply_adapter(Checkpoint.open(tmp_path / "base"), adapter, tmp_path / "out")
    assert said in caught.value.message
    assert "merge_and_unload" in str(caught.value.hint)
    assert not (tmp_path / "out").exists()


def test_adapters_that_cannot_be_read_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "base", seed=1)
    save_model(tmp_path / "narrow", seed=1, hidden_size=32)
    adapter = save_adapter(tmp_path / "base", tmp_path / "adapter")
    narrow, base = Checkpoint.open(tmp_path / "narrow"), Checkpoint.open(tmp_path / "base")

    def refused(checkpoint: Checkpoint) -> str:
        with pytest.raises(PatientDxError) as caught:
            apply_adapter(checkpoint, adapter, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return caught.value.message

    assert "does not fit the shape of " in refused(narrow)
    weights = adapter / "adapter_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data.replace(b"layers.1.", b"layers.7."))
    assert "which " in refused(base)
    weights.write_bytes(data.replace(b"lora_A", b"lora_C"))
    assert "the tensor base_model" in refused(base)
    weights.write_bytes(data[:-10])
    assert "the file is cut" in refused(base)
    weights.unlink()
    assert "it has no weights" in refused(base)
    (adapter / "adapter_model.bin").write_bytes(b"")
    assert "a pickle" in refused(base)
    (adapter / "adapter_config.json").write_text("{", "utf-8")
    assert "cannot be read" in refused(base)
