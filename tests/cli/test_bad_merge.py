"""`merge` on inputs that cannot be used: one line, one remedy, nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import check_refusal, digests, patientdx
from merge_inputs import CONFIG, make, make_pair
from tiny_checkpoints import Tensor, random_tensors, write

SLERP = ("merge", "--method", "slerp", "--weight", "0.4", "math-model", "medical-model")
B = Path("medical-model")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two models, of which a test breaks the second."""
    make_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def remade(tensors: dict[str, Tensor], **config: Any) -> None:
    shutil.rmtree(B)
    make(B, tensors, **config)


def config(**changes: Any) -> Callable[[], None]:
    return lambda: remade(random_tensors(2), **changes)


def reshaped() -> None:
    tensors = random_tensors(2)
    tensors["model.layers.0.mlp.up_proj.weight"] = Tensor(np.ones((40, 16)))
    remade(tensors)


def fewer_tensors() -> None:
    tensors = random_tensors(2)
    del tensors["model.norm.weight"]
    remade(tensors)


def missing_shard() -> None:
    shutil.rmtree(B)
    write(B, random_tensors(2), shards=2, config=CONFIG)
    (B / "model-00002-of-00002.safetensors").unlink()


def with_bytes(change: Callable[[bytearray], bytearray]) -> Callable[[], None]:
    def do() -> None:
        path = B / "model.safetensors"
        path.write_bytes(change(bytearray(path.read_bytes())))

    return do


def pickled() -> None:
    (B / "model.safetensors").unlink()
    (B / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def not_finite(value: float) -> Callable[[], None]:
    def do() -> None:
        tensors = random_tensors(2)
        numbers = np.ones((48, 16))
        numbers[3, 5] = value
        tensors["model.layers.1.mlp.up_proj.weight"] = Tensor(numbers)
        remade(tensors)

    return do


def other_words() -> None:
    path = B / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace('"w7"', '"other"'), "utf-8")


def more_words() -> None:
    remade(random_tensors(2, vocabulary=60))
    path = B / "tokenizer.json"
    data = json.loads(path.read_text("utf-8"))
    data["added_tokens"] = [{"id": 50, "content": "<|im_start|>"}]
    path.write_text(json.dumps(data), "utf-8")


def broken_words() -> None:
    (B / "tokenizer.json").write_text("{", "utf-8")


def broken_config() -> None:
    (B / "config.json").write_text("{", "utf-8")


def emptied() -> None:
    shutil.rmtree(B)
    B.mkdir()


def untied() -> None:
    tensors = random_tensors(2)
    tensors["lm_head.weight"] = Tensor(np.ones((50, 16)))
    remade(tensors, tie_word_embeddings=False)


LAYERS = {"num_hidden_layers": 3}
BAD: dict[str, tuple[Callable[[], None], str]] = {
    "architecture": (config(model_type="gpt2"), "the model_type is llama in math-model, and gpt2"),
    "classes": (config(architectures=["Other"]), "architectures is LlamaForCausalLM"),
    "layers": (config(**LAYERS), "the number of layers is 2 in math-model, and 3 in medical-model"),
    "heads": (config(num_key_value_heads=2), "num_key_value_heads is 4"),
    "shapes": (reshaped, "model.layers.0.mlp.up_proj.weight has the shape [48, 16] in math-model"),
    "tensors": (fewer_tensors, "medical-model lacks 1 tensors of math-model"),
    "rope": (config(rope_theta=1e6), "rope_theta is 10000 in math-model, and 1e+06"),
    "rope, nested": (config(rope_parameters={"rope_theta": 5e5}), "rope_theta is 10000"),
    "activation": (config(hidden_act="gelu"), "hidden_act is silu in math-model, and gelu"),
    "quantised": (
        config(quantization_config={"bits": 4}),
        "weights of medical-model are quantised",
    ),
    "shard": (missing_shard, "model-00002-of-00002.safetensors: this shard is missing"),
    "header": (with_bytes(lambda data: data.replace(b'"BF16"', b'"BF61"')), "not a valid safet"),
    "cut": (with_bytes(lambda data: data[:-9]), "the file is cut"),
    "pickle": (pickled, "its weights are pickles, which can run code"),
    "nan": (not_finite(float("nan")), "model.layers.1.mlp.up_proj.weight"),
    "infinity": (not_finite(float("inf")), "model.layers.1.mlp.up_proj.weight"),
    "tokens": (other_words, "medical-model has other tokens than math-model at 1 ids, the first"),
    "more tokens": (more_words, "has 1 tokens that math-model lacks, the first is `<|im_start|>`"),
    "tokenizer": (broken_words, "tokenizer.json: cannot be read"),
    "config": (broken_config, "config.json: this is not JSON"),
    "no folder": (lambda: shutil.rmtree(B), "there is no model `medical-model`"),
    "no model": (emptied, "config.json: cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_inputs_that_cannot_be_merged(name: str, place: Path) -> None:
    damage, message = BAD[name]
    damage()
    before = digests(place)
    outcome = patientdx(*SLERP, "--into", "out", env={"PATIENTDX_CACHE": "/nonexistent/cache"})
    check_refusal(outcome, message)
    assert digests(place) == before
    # What the check says is what the merge says.
    checked = patientdx(*SLERP, "--check", env={"PATIENTDX_CACHE": "/nonexistent/cache"})
    assert checked.code == 1
    if name not in {"nan", "infinity"}:
        assert checked.err == outcome.err
    assert digests(place) == before


@pytest.mark.parametrize("name", ["rope", "activation"])
def test_what_is_unsound_is_done_where_it_is_asked_for(name: str, place: Path) -> None:
    BAD[name][0]()
    outcome = patientdx(*SLERP, "--into", "out", "--allow-unsound")
    assert outcome.code == 0, outcome.err
    assert "merging them is unsound" in outcome.err
    assert "merging them is unsound" in (place / "out/README.md").read_text(encoding="utf-8")
    assert patientdx("merge", "--verify", "out").code == 0


def test_what_only_changes_the_context_is_reported(place: Path) -> None:
    remade(random_tensors(2), sliding_window=4096, max_position_embeddings=8192)
    outcome = patientdx(*SLERP, "--into", "out")
    assert outcome.code == 0, outcome.err
    assert "note: sliding_window is not set in math-model, and 4096 in medical-model" in outcome.err
    assert "note: max_position_embeddings is 2048 in math-model, and 8192" in outcome.err


def test_a_tied_model_and_one_that_is_not_make_one_that_is_not(place: Path) -> None:
    untied()
    outcome = patientdx(*SLERP, "--into", "out", "--engine", "stream")
    assert outcome.code == 0, outcome.err
    note = "note: math-model ties its output layer to its embeddings and medical-model does not"
    assert note in outcome.err
    assert (
        json.loads((place / "out/config.json").read_text("utf-8"))["tie_word_embeddings"] is False
    )


@pytest.mark.parametrize("make_target", ["file", "full", "link"])
def test_a_target_that_is_taken_is_left_alone(make_target: str, place: Path) -> None:
    target = place / "out"
    if make_target == "file":
        target.write_text("mine", encoding="utf-8")
    elif make_target == "full":
        target.mkdir()
        (target / "mine").write_text("mine", encoding="utf-8")
    else:
        target.symlink_to(place / "nowhere")
    before = digests(place)
    outcome = patientdx(*SLERP, "--into", "out")
    check_refusal(outcome, "out: ")
    assert digests(place) == before


def test_an_empty_target_is_taken_and_a_missing_parent_refused(place: Path) -> None:
    (place / "out").mkdir()
    assert patientdx(*SLERP, "--into", "out").code == 0
    check_refusal(patientdx(*SLERP, "--into", "no/out"), "there is no such folder")
    assert not (place / "no").exists()


def test_a_full_disk_is_reported_before_anything_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(place)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    before = digests(place)
    outcome = patientdx(*SLERP, "--into", "out", env={"PATIENTDX_CACHE": "/nonexistent/cache"})
    check_refusal(outcome, "GB free, and the merge needs")
    assert digests(place) == before


def test_a_model_of_a_hub_is_fetched_only_where_that_is_allowed(place: Path) -> None:
    outcome = patientdx(
        *("merge", "--preset", "patientdx-7b", "--into", "out"), env={"PATIENTDX_CACHE": "cache"}
    )
    check_refusal(outcome, "the model `hkust-nlp/dart-math-mistral-7b-prop2diff` is not here yet")
    assert "patientdx model get hkust-nlp/" in outcome.err
    assert not (place / "out").exists()


def test_a_recipe_is_refused_with_its_line(place: Path) -> None:
    (place / "r.yml").write_text("merge_method: slerp\nmodels:\n- model: a\n  wieght: 1\n", "utf-8")
    check_refusal(
        patientdx("merge", "r.yml", "--into", "out"), "r.yml:4: a model has no key `wiegh"
    )


def test_a_method_of_mergekit_s_is_reported_to_go_to_it(place: Path) -> None:
    (place / "t.yml").write_text(
        "merge_method: ties\nmodels: [{model: math-model}, {model: medical-model}]\n", "utf-8"
    )
    outcome = patientdx("merge", "t.yml", "--into", "out", "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "note: MergeKit merges this: the streaming engine cannot merge the method" in outcome.err
    with_mergekit = patientdx(
        "merge", "t.yml", "--into", "out", "--dry-run", "--engine", "mergekit"
    )
    assert with_mergekit.code == 0
    assert "note:" not in with_mergekit.err
    assert patientdx("merge", "t.yml", "--into", "out", "--engine", "auto").code == 2


def test_a_gguf_is_no_input(place: Path) -> None:
    (place / "m.gguf").write_bytes(b"GGUF")
    outcome = patientdx(*SLERP[:-1], "m.gguf", "--into", "out")
    check_refusal(outcome, "`m.gguf` is a file; models are merged from folders")
