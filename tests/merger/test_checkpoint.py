"""Checkpoints: what is in them, and the refusals of what cannot be merged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

from merger.checkpoints.checkpoint import INDEX, SINGLE, Checkpoint
from patientdx.errors import InputError


@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_are_found_in_one_file_and_in_shards(tmp_path: Path, shards: int) -> None:
    tensors = tiny.random_tensors(0)
    checkpoint = Checkpoint.open(tiny.write(tmp_path / "model", tensors, shards))
    assert checkpoint.config == tiny.CONFIG
    assert len(checkpoint.files) == shards
    assert set(checkpoint.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert checkpoint.tensors[name].shape == tensor.shape
        checkpoint.will_need(name)
        assert checkpoint.values(name).data.tobytes() == tensor.values.data.tobytes()
        checkpoint.done_with(name)
        assert checkpoint.values(name).data.tobytes() == tensor.values.data.tobytes()


def test_a_model_of_transformers_opens(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model", max_shard_size="4KB")
    checkpoint = Checkpoint.open(tmp_path / "model")
    assert len(checkpoint.files) > 1
    state = model.state_dict()
    assert "lm_head.weight" not in checkpoint.tensors  # tied: it is not stored
    assert set(checkpoint.tensors) == set(state) - {"lm_head.weight"}
    for name, info in checkpoint.tensors.items():
        assert info.dtype == "BF16"
        expected = state[name].contiguous().view(torch.uint8).numpy().tobytes()
        assert checkpoint.values(name).data.tobytes() == expected


def test_digests_change_with_the_weights_and_fingerprints_with_the_files(tmp_path: Path) -> None:
    tensors = tiny.random_tensors(0)
    first = Checkpoint.open(tiny.write(tmp_path / "one", tensors))
    same = Checkpoint.open(tiny.write(tmp_path / "same", tensors))
    other = Checkpoint.open(tiny.write(tmp_path / "other", tiny.random_tensors(1)))
    assert first.digest() == same.digest() != other.digest()
    assert first.digest(tmp_path / "cache") == first.digest(tmp_path / "cache") == first.digest()
    assert first.fingerprint == Checkpoint.open(tmp_path / "one").fingerprint != same.fingerprint


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


SHARD = "model-00002-of-00003.safetensors"
REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (without("config.json"), "config.json: cannot be read"),
    "config": (text("config.json", "{"), "config.json: this is not JSON"),
    "config list": (text("config.json", "[]"), "config.json: this is not a JSON object"),
    "shard": (without(SHARD), f"{SHARD}: this shard is missing"),
    "index": (text(INDEX, "{}"), f"{INDEX}: it has no `weight_map`"),
    "path": (
        text(INDEX, '{"weight_map": {"a": "../x.safetensors"}}'),
        "is not the name of a shard",
    ),
    "number": (text(INDEX, '{"weight_map": {"a": 3}}'), "3 is not the name of a shard"),
    "tensor": (
        text(INDEX, json.dumps({"weight_map": {"none": SHARD}})),
        "`none` is not in the shard",
    ),
    "cut": (
        lambda folder: (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-1]),
        "is cut",
    ),
    "header": (lambda folder: (folder / SHARD).write_bytes(b"\xff" * 99), f"{SHARD}: not a valid"),
    "nothing": (without(INDEX), f"there is no {SINGLE} and no {INDEX}"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    damage, problem = REFUSALS[name]
    folder = tiny.write(tmp_path / "model", tiny.random_tensors(0), shards=3)
    damage(folder)
    with pytest.raises(InputError, match=problem) as caught:
        Checkpoint.open(folder)
    assert "\n" not in caught.value.message


def test_pickles_are_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "model", tiny.random_tensors(0))
    (folder / SINGLE).rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="are pickles, which can run code") as caught:
        Checkpoint.open(folder)
    assert caught.value.hint is not None
    assert "safetensors" in caught.value.hint


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Checkpoint.open(tmp_path / "none")
