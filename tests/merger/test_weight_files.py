"""Folders with more than one set of weights: the one is merged that transformers loads."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import odd_inputs
import pytest
import tiny_checkpoints as tiny

from merger.checkpoints.checkpoint import INDEX, SINGLE, Checkpoint
from merger.checkpoints.headers import read_header
from merger.execution import merge
from patientdx.errors import InputError, MergeError

NEW, OLD = tiny.random_tensors(1), tiny.random_tensors(2)
NORM = "model.norm.weight"


def add_shards(folder: Path, tensors: dict[str, tiny.Tensor], shards: int = 2) -> None:
    """Shards of `tensors` and their index, beside what is there."""
    scratch = tiny.write(folder / "scratch", tensors, shards)
    for path in scratch.glob("model*"):
        path.rename(folder / path.name)
    shutil.rmtree(scratch)


def bytes_of(checkpoint: Checkpoint, name: str = NORM) -> bytes:
    return checkpoint.values(name).data.tobytes()


def loaded_norm(folder: Path) -> np.ndarray:
    """The weights that transformers loads."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    norm: np.ndarray = model.model.norm.weight.detach().numpy()
    return norm


def small_llama(folder: Path, seed: int, **options: Any) -> Path:
    """A model that transformers saved."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    torch.nn.init.constant_(model.model.norm.weight, seed)
    model.save_pretrained(folder, **options)
    return folder


def norm_of(folder: Path) -> np.ndarray:
    return np.frombuffer(bytes_of(Checkpoint.open(folder)), np.float32)


@pytest.mark.parametrize("explicit", [None, "other.safetensors", INDEX])
def test_the_weights_are_those_that_transformers_loads(
    tmp_path: Path, explicit: str | None
) -> None:
    folder = small_llama(tmp_path / "model", 1)
    old = small_llama(tmp_path / "old", 2, max_shard_size="4KB")
    other = small_llama(tmp_path / "third", 3)
    for path in old.glob("model*"):
        shutil.copy(path, folder / path.name)
    shutil.copy(other / SINGLE, folder / "other.safetensors")
    odd_inputs.configure(folder, transformers_weights=explicit)
    expected = {None: 1, "other.safetensors": 3, INDEX: 2}[explicit]
    assert set(norm_of(folder)) == set(loaded_norm(folder)) == {expected}


def test_tensors_that_an_index_leaves_out_are_read_as_transformers_reads_them(
    tmp_path: Path,
) -> None:
    folder = small_llama(tmp_path / "model", 5, max_shard_size="4KB")
    index = json.loads((folder / INDEX).read_text("utf-8"))
    del index["weight_map"][NORM]
    (folder / INDEX).write_text(json.dumps(index), "utf-8")
    assert set(norm_of(folder)) == set(loaded_norm(folder)) == {5}


def test_a_single_file_comes_before_a_stale_index(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "model", NEW)
    add_shards(folder, OLD)
    checkpoint = Checkpoint.open(folder)
    assert [file.name for file in checkpoint.files] == [SINGLE]
    assert bytes_of(checkpoint) == NEW[NORM].values.data.tobytes()
    shards = sorted(path.name for path in folder.glob("model-*"))
    assert checkpoint.unread == (INDEX, *shards)


@pytest.mark.parametrize("damage", ["{", "[]", '{"weight_map": {"a": "gone.safetensors"}}'])
def test_an_index_that_is_not_used_may_be_broken(tmp_path: Path, damage: str) -> None:
    folder = tiny.write(tmp_path / "model", NEW)
    (folder / INDEX).write_text(damage, "utf-8")
    assert Checkpoint.open(folder).unread == (INDEX,)


def test_what_belongs_to_the_weights_is_not_reported(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "model", NEW)
    index = {"metadata": {}, "weight_map": dict.fromkeys(NEW, SINGLE)}
    (folder / INDEX).write_text(json.dumps(index), "utf-8")
    (folder / "consolidated.safetensors").write_bytes(b"")
    assert Checkpoint.open(folder).unread == ()
    assert Checkpoint.open(tiny.write(tmp_path / "shards", NEW, 3)).unread == ()


def test_shards_of_another_count_are_reported(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "model", NEW, 2)
    add_shards(folder, OLD, 3)  # their index replaces the other
    checkpoint = Checkpoint.open(folder)
    assert bytes_of(checkpoint) == OLD[NORM].values.data.tobytes()
    first, second = (f"model-{n:05d}-of-00002.safetensors" for n in (1, 2))
    assert checkpoint.unread == (first, second)


@pytest.mark.parametrize("name", ["../model.safetensors", 3, "deep/model.safetensors"])
def test_an_explicit_name_leads_nowhere_else(tmp_path: Path, name: object) -> None:
    folder = tiny.write(tmp_path / "model", NEW)
    odd_inputs.configure(folder, transformers_weights=name)
    with pytest.raises(InputError, match="is not the name of a file"):
        Checkpoint.open(folder)


def test_an_explicit_pickle_is_refused(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "model", NEW)
    (folder / "adapter_model.bin").write_bytes(b"")
    odd_inputs.configure(folder, transformers_weights="adapter_model.bin")
    with pytest.raises(InputError, match="are pickles"):
        Checkpoint.open(folder)


def test_a_merge_of_a_folder_with_a_stale_index(tmp_path: Path) -> None:
    a, b = odd_inputs.make_pair(tmp_path)
    whole = Checkpoint.open(a)
    add_shards(a, OLD)
    result = merge(odd_inputs.job_of(odd_inputs.slerp_recipe(a, b, 0)), tmp_path / "out")
    written = Checkpoint.open(tmp_path / "out")
    assert all(bytes_of(written, name) == bytes_of(whole, name) for name in whole.tensors)
    remark = next(remark for remark in result.remarks if SINGLE in remark)
    assert remark.startswith(f"{a}: {SINGLE} is read, as transformers does; {INDEX}, model-")
    assert remark.endswith("beside it is not")


@pytest.mark.parametrize("recipe", [odd_inputs.linear_recipe, odd_inputs.stacked_recipe])
def test_mergekit_would_read_the_stale_index_and_does_not_get_it(
    tmp_path: Path, recipe: Any
) -> None:
    a, b = odd_inputs.make_pair(tmp_path)
    add_shards(b, OLD)
    with pytest.raises(MergeError, match=f"{b}: MergeKit would read {INDEX}") as caught:
        odd_inputs.prepare(recipe(a, b), engine="mergekit")
    assert caught.value.hint == f"remove {b / INDEX} if it is of no use"
    assert odd_inputs.prepare(odd_inputs.linear_recipe(a, b)).engine == "stream"


def test_an_explicit_name_is_not_in_the_output(tmp_path: Path) -> None:
    a, b = odd_inputs.make_pair(tmp_path)
    (a / SINGLE).rename(a / "own.safetensors")
    odd_inputs.configure(a, transformers_weights="own.safetensors")
    merge(odd_inputs.job_of(odd_inputs.slerp_recipe(a, b)), tmp_path / "out")
    assert "transformers_weights" not in Checkpoint.open(tmp_path / "out").config
    assert "own" not in (tmp_path / "out" / "config.json").read_text("utf-8")


@pytest.mark.parametrize(
    "torch_name", ["float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3fn", "float4_e2m1fn_x2"]
)
def test_small_floats_are_read_as_the_safetensors_library_writes_them(
    tmp_path: Path, torch_name: str
) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    dtype = getattr(torch, torch_name)
    tensor = torch.arange(32, dtype=torch.uint8).reshape(4, 8).view(dtype)
    save_file({"x": tensor, "y": torch.ones(3)}, tmp_path / "x.safetensors")
    infos = {info.name: info for info in read_header(tmp_path / "x.safetensors")}
    data = (tmp_path / "x.safetensors").read_bytes()
    assert data[infos["x"].offset :][: infos["x"].nbytes] == bytes(range(32))
    assert infos["x"].dtype.startswith("F4" if "float4" in torch_name else "F8_")
    assert infos["x"].shape == ((4, 16) if "float4" in torch_name else (4, 8))
