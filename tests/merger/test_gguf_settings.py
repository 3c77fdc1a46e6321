"""What a GGUF file says of a model, and models that llama.cpp would run in another way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra hf")

import gguf_models

from merger.checkpoints.checkpoint import Checkpoint
from merger.gguf.plan import GgufPlan, plan_gguf
from patientdx.errors import MergeError

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    return gguf_models.save_model(path / "llama", "llama", gguf_models.byte_level(), **SMALL)


def plan(folder: Path, **changes: Any) -> GgufPlan:
    """The plan with other settings in config.json; None removes one."""
    model = Checkpoint.open(folder)
    config = {**model.config, **changes}
    config = {key: value for key, value in config.items() if value is not None}
    return plan_gguf(config, model.tensors, folder, "F16", "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bloom"}, "models of the family `bloom` are not written as GGUF, only lla"),
        ({"model_type": None}, "models of the family `None` are not written as GGUF"),
        ({"hidden_act": "gelu"}, "its activation is gelu"),
        (
            {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
            "its rotary frequencies are scaled by `longrope`",
        ),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "its rotary frequencies are scaled by `dynamic`",
        ),
        ({"partial_rotary_factor": 0.5}, r"it rotates 0\.5 of each head"),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
            "its layers have different rotary frequencies",
        ),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 0.7}},
            "its YaRN scaling sets attention_factor",
        ),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "truncate": False}},
            "its YaRN scaling sets truncate",
        ),
        ({"max_position_embeddings": None}, r"config\.json has no `max_position_embeddings`"),
        ({"rms_norm_eps": None}, r"config\.json has no `rms_norm_eps`"),
        ({"num_attention_heads": 3}, "32 rows of queries and 16 of keys for 3 heads"),
    ],
)
def test_models_that_llama_cpp_would_run_otherwise_are_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    plan(folder)
    with pytest.raises(MergeError, match=message) as caught:
        plan(folder, **changes)
    assert caught.value.hint


def test_tensors_without_a_place_and_of_other_types_are_refused(folder: Path) -> None:
    model = Checkpoint.open(folder)
    norm = model.tensors["model.norm.weight"]
    named = norm._replace(name="model.layers.0.self_attn.q_norm.weight")
    with pytest.raises(MergeError, match=r"it has the tensor `model\.layers\.0\.self_attn\.q_norm"):
        plan_gguf(model.config, {**model.tensors, named.name: named}, folder, "F16", "x")
    whole = {**model.tensors, norm.name: norm._replace(dtype="I8")}
    with pytest.raises(MergeError, match=r"model\.norm\.weight is I8"):
        plan_gguf(model.config, whole, folder, "F16", "x")
    for missing in ("model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight"):
        rest = {name: info for name, info in model.tensors.items() if name != missing}
        with pytest.raises(MergeError, match=missing):
            plan_gguf(model.config, rest, folder, "F16", "x")


def test_old_and_new_spellings_of_rotary_settings_are_one(folder: Path) -> None:
    scaling = {"factor": 4.0, "original_max_position_embeddings": 128}
    new = plan(folder, rope_parameters={"rope_type": "yarn", "rope_theta": 5e4, **scaling})
    old = plan(
        folder, rope_parameters=None, rope_theta=5e4, rope_scaling={"type": "yarn", **scaling}
    )
    assert new.lay_out().header == old.lay_out().header
    assert new.metadata["llama.rope.freq_base"] == 5e4
    assert new.metadata["llama.rope.scaling.original_context_length"] == 128


def test_sizes_are_those_of_the_tensors_and_not_of_defaults(folder: Path) -> None:
    written = plan(folder, num_key_value_heads=None, head_dim=None, vocab_size=None)
    assert written.lay_out().header == plan(folder).lay_out().header
    assert written.metadata["llama.attention.head_count_kv"] == 1
    assert written.metadata["llama.attention.key_length"] == 16


def test_a_sliding_window_is_a_remark(folder: Path) -> None:
    """llama.cpp has none for these families."""
    assert plan(folder, model_type="mistral", sliding_window=None).remarks == ()
    remarks = plan(folder, model_type="mistral", sliding_window=4096).remarks
    assert ["4,096 tokens" in remark for remark in remarks] == [True]
    unused = {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}
    assert plan(folder, **unused).remarks == ()


def test_a_tied_head_is_written_once(folder: Path) -> None:
    def names(**changes: Any) -> set[str]:
        return {source.entry.name for source in plan(folder, **changes).sources}

    assert "output.weight" in names(tie_word_embeddings=False)
    assert "output.weight" in names(tie_word_embeddings=None), "Llama is not tied by default"
    assert "output.weight" not in names(tie_word_embeddings=True)
    gemma = {"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh"}
    assert "output.weight" not in names(tie_word_embeddings=None, **gemma), "and Gemma is"


def test_ends_of_replies_and_templates(folder: Path) -> None:
    words = plan(folder).metadata
    assert words["tokenizer.ggml.eos_token_id"] == 2
    assert "tokenizer.ggml.eot_token_id" not in words
    copy = folder.with_name("copy")
    copy.mkdir(exist_ok=True)
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "generation_config.json").write_text('{"eos_token_id": [2, 1]}', encoding="utf-8")
    assert plan(copy).metadata["tokenizer.ggml.eot_token_id"] == 1
    assert plan(copy).metadata["tokenizer.chat_template"] == words["tokenizer.chat_template"]
    (copy / "chat_template.jinja").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text(encoding="utf-8"))
    templates = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "the default"},
    ]
    text = json.dumps(settings | {"chat_template": templates})
    (copy / "tokenizer_config.json").write_text(text, encoding="utf-8")
    assert plan(copy).metadata["tokenizer.chat_template"] == "the default"
    text = json.dumps({key: value for key, value in settings.items() if key != "chat_template"})
    (copy / "tokenizer_config.json").write_text(text, encoding="utf-8")
    assert "tokenizer.chat_template" not in plan(copy).metadata


def test_llama_3_factors_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from merger.gguf.settings import rotation_factors

    rope = {**gguf_models.LLAMA3_ROPE, "rope_theta": 500000.0, "factor": 32.0}
    rope["original_max_position_embeddings"] = 8192
    config = LlamaConfig(
        hidden_size=2048,
        num_attention_heads=32,
        head_dim=64,
        max_position_embeddings=131072,
        rope_parameters=rope,
    )
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** -(np.arange(0, 64, 2) / 64)
    factors = rotation_factors({"rope_parameters": rope}, 64)
    assert factors is not None
    assert np.allclose(plain / factors, scaled.numpy(), rtol=1e-6)
    assert len(set(factors.tolist())) > 3
