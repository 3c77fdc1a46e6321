"""Merges with adapters that are killed: they go on with the adapted model that they had made."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("yaml", reason="needs the extra merge")

import tiny_checkpoints as tiny
from killed_merges import hidden, job_of, kill
from merge_inputs import make_pair
from tiny_merges import digest

from merger.checkpoints import adapted_inputs
from merger.checkpoints.adapters import adapter_digest, apply_adapter
from merger.engines import stream
from merger.engines.stream import WriteReport
from merger.execution import merge
from merger.planning.job import prepare_merge
from patientdx.errors import InputError, MergeError

MODULE = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two models, and an adapter of the second."""
    make_pair(tmp_path)
    write_adapter(tmp_path / "lora", seed=1)
    return tmp_path


def write_adapter(folder: Path, *, seed: int, alpha: int = 4) -> Path:
    rng = np.random.default_rng(seed)
    shapes = {f"{MODULE}.lora_A.weight": (2, 16), f"{MODULE}.lora_B.weight": (16, 2)}
    shapes |= {name.replace("layers.0", "layers.1"): shape for name, shape in shapes.items()}
    folder.mkdir(exist_ok=True)
    tensors = {name: tiny.Tensor(rng.standard_normal(s), "F32") for name, s in shapes.items()}
    tiny._write_file(folder / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": alpha}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_a_kill_while_the_adapted_model_is_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def remove_a_part(path: Any, **options: Any) -> None:
        if Path(path).name != ".out.adapters":
            remove(path, **options)
            return
        for file in Path(path).rglob("*.json"):
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_a_part)
        with pytest.raises(KeyboardInterrupt):
            merge(job_of(place), place / "out")
    expected = digest(place / "out")
    assert hidden(place) == [".out.adapters"]
    shutil.rmtree(place / "out")
    merge(job_of(place), place / "out")
    assert digest(place / "out") == expected
    assert hidden(place) == []


class Seen:
    """What a merge did: the adapters that were added, and what the engine wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.applied: list[Path] = []
        self.written: list[WriteReport] = []
        apply, write = apply_adapter, stream.write_merge

        def applying(base: Any, adapter: Path, into: Path) -> Any:
            self.applied.append(adapter)
            return apply(base, adapter, into)

        def writing(*arguments: Any, **options: Any) -> WriteReport:
            self.written.append(write(*arguments, **options))
            return self.written[-1]

        monkeypatch.setattr(adapted_inputs, "apply_adapter", applying)
        monkeypatch.setattr(stream, "write_merge", writing)


def undisturbed(place: Path) -> dict[str, str]:
    """The digests of a merge that nobody kills."""
    merge(job_of(place), place / "out")
    digests = digest(place / "out")
    shutil.rmtree(place / "out")
    return digests


@pytest.mark.parametrize("tensors", [1, 3, 7])
def test_a_killed_merge_goes_on_with_its_adapted_model(
    tensors: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(place)
    kill(place, "a tensor's end", tensors)
    assert hidden(place) == [".out.adapters", ".out.merging"]
    seen = Seen(monkeypatch)
    merge(job_of(place), place / "out")
    assert seen.applied == []
    assert 0 < seen.written[0].resumed < seen.written[0].nbytes
    assert digest(place / "out") == expected
    assert hidden(place) == []


def test_an_adapter_that_was_half_added_is_added_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(place)
    kill(place, "adapting", 2)
    assert [path.suffix for path in (place / ".out.adapters").glob("*.*")] == [".part"]
    seen = Seen(monkeypatch)
    merge(job_of(place), place / "out")
    assert seen.applied == [place / "lora"]
    assert digest(place / "out") == expected
    assert hidden(place) == []


@pytest.mark.parametrize("change", ["weights", "configuration", "base", "none"])
def test_another_adapter_or_base_begins_anew(
    change: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(place, "a tensor's end", 3)
    before = {path.name for path in (place / ".out.adapters").iterdir()}
    if change == "weights":
        write_adapter(place / "lora", seed=2)
    elif change == "configuration":
        write_adapter(place / "lora", seed=1, alpha=8)
    elif change == "base":
        os.utime(place / "medical-model/model.safetensors", (0, 0))
    else:
        (place / "lora").rename(place / "unused")
    with prepare_merge(job_of(place), place / "out"):
        now = {path.name for path in place.glob(".out.adapters/*")}
    assert before & now == {"lock"}
    assert len(now) == (1 if change == "none" else 2)
    assert not (place / ".out.adapters").exists()
    seen = Seen(monkeypatch)
    merge(job_of(place), place / "out")
    assert seen.written[0].resumed == 0
    resumed = digest(place / "out")["model.safetensors"]
    (place / "out").rename(place / "first")
    assert undisturbed(place)["model.safetensors"] == resumed


def test_the_adapted_model_stays_for_an_interrupt_only(place: Path) -> None:
    for error, stays in ((MergeError("no"), False), (KeyboardInterrupt(), True)):
        with pytest.raises(type(error)), prepare_merge(job_of(place), place / "out"):
            raise error
        assert (place / ".out.adapters").exists() is stays


def test_two_merges_into_one_name_do_not_share_adapted_models(place: Path) -> None:
    with prepare_merge(job_of(place), place / "out"):
        with pytest.raises(MergeError, match="another process is merging into this folder"):
            merge(job_of(place), place / "out")
        assert (place / ".out.adapters").exists()
    assert hidden(place) == []


def test_an_adapter_without_weights_is_refused_and_leaves_nothing(place: Path) -> None:
    (place / "lora/adapter_model.safetensors").unlink()
    for attempt in (
        lambda: adapter_digest(place / "lora"),
        lambda: merge(job_of(place), place / "out"),
    ):
        with pytest.raises(InputError, match="it has no weights"):
            attempt()
    (place / "lora/adapter_config.json").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        adapter_digest(place / "lora")
    assert hidden(place) == []
    assert not (place / "out").exists()
