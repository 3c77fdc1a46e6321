"""Rotary settings in all of their spellings: against what transformers reads and computes."""

import importlib
import itertools
from typing import Any

import pytest

from merger.checkpoints.config_defaults import read_defaults
from merger.checkpoints.layer_types import read_layer_types
from merger.checkpoints.rotary_settings import compare_rotary_settings, read_rotary_settings

FACTORS = [1.0 + i / 64 for i in range(48)]
# Spellings of older releases, and newer ones that leave something out.
SPELLINGS: list[dict[str, Any]] = [
    {},
    {"rope_theta": 12345.0},
    {"rope_theta": 12345.0, "rope_local_base_freq": 777.0},
    {"rotary_emb_base": 3333, "rotary_pct": 0.5},
    {"partial_rotary_factor": 0.75},
    {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    {
        "rope_theta": 5e5,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 2048,
        },
    },
    {"rope_scaling": {"rope_type": "yarn", "factor": 8.0}, "max_position_embeddings": 4096},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}},
    {
        "rope_scaling": {"type": "longrope", "short_factor": FACTORS, "long_factor": FACTORS},
        "original_max_position_embeddings": 4096,
        "max_position_embeddings": 131072,
    },
    {"rope_parameters": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 4242.0, "partial_rotary_factor": 0.75}},
    {"rope_parameters": {"rope_type": "linear", "factor": 2.0}, "rope_theta": 999.0},
]
# Types with rules of their own, which no released file spells in these ways.
EXEMPT = frozenset(
    [
        *("deepseek_v4", "dots3_note_text", "zaya", "dbrx", "cohere2_moe", "musicflamingo"),
        *("cosmos3_edge_text", "bailing_hybrid"),
    ]
)
SAMPLE = (
    *("llama", "mistral", "gemma2", "gemma3_text", "gemma4_text", "qwen2", "qwen2_vl_text"),
    *("gpt_neox", "gptj", "phi3", "falcon", "olmo3", "modernbert-decoder", "minimax_m2", "gpt_oss"),
    *("deepseek_v3", "apertus", "granite", "bloom", "t5", "llava"),
)
SIZES = ("hidden_size", "num_attention_heads", "head_dim")


@pytest.fixture(scope="module")
def maker() -> Any:
    pytest.importorskip("transformers", reason="needs the extra hf")
    return importlib.import_module("config_table")


@pytest.mark.parametrize("model_type", SAMPLE)
def test_row_is_what_transformers_shows(maker: Any, model_type: str) -> None:
    kind = maker.config_classes()[model_type]
    row = maker.describe(kind)
    defaults = read_defaults(model_type)
    assert defaults.known
    assert dict(defaults.values) == row["defaults"]
    assert defaults.rope == row.get("rope", {})
    assert defaults.rope_with_type == row.get("rope_with_type", row.get("rope", {}))
    assert defaults.rope_keys == row.get("rope_keys", maker.USUAL_KEYS)
    assert defaults.layer_types == row.get("layer_types", {})
    assert defaults.original_context == row.get("original_context")


def test_table_has_every_type_that_generates_text(maker: Any) -> None:
    classes = maker.config_classes()
    missing = {name for name in classes if not read_defaults(name).known}
    # These have no defaults, or need the package timm.
    assert missing <= {"gemma3n_vision", "gemma4_assistant", "timm_wrapper"}


def test_settings_are_those_that_transformers_reads_in_every_spelling(maker: Any) -> None:
    read = 0
    for model_type, kind in maker.config_classes().items():
        plain = maker.read_by_transformers(kind, {})
        if model_type in EXEMPT or not plain or not plain.get("rope_parameters"):
            continue
        defaults = read_defaults(model_type)
        sizes = {key: plain[key] for key in SIZES if key in plain}
        for spelled in SPELLINGS:
            saved = maker.read_by_transformers(kind, spelled)
            if saved is None or not saved.get("rope_parameters"):
                continue
            pair = [read_rotary_settings(c, defaults) for c in ({**sizes, **spelled}, saved)]
            assert all(pair)
            assert compare_rotary_settings(*pair) == [], (model_type, spelled)
            read += 1
    assert read > 1500


def rope(kind: str, **settings: Any) -> dict[str, Any]:
    """Settings with a theta of 5e5, as older files have them."""
    return {"rope_theta": 5e5, "rope_scaling": {"rope_type": kind, **settings}}


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"short_factor": [1.0] * 64, "long_factor": [2.0] * 64}
ORIGINAL = {"original_max_position_embeddings": 64}
COMPARED: list[dict[str, Any]] = [
    {},
    {"rope_theta": 1e4},
    {"rope_theta": 5e5},
    {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
    {"rope_theta": 5e5, "rope_scaling": None},
    rope("linear", factor=1.0),
    rope("linear", factor=4.0),
    {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}},
    rope("dynamic", factor=4.0),
    rope("dynamic", factor=2.0),
    rope("dynamic", factor=4.0) | {"max_position_embeddings": 128},
    rope("llama3", **LLAMA3, original_max_position_embeddings=128),
    rope("llama3", **LLAMA3, original_max_position_embeddings=64),
    rope("llama3", **LLAMA3 | {"high_freq_factor": 2.0}, original_max_position_embeddings=64),
    rope("llama3", **LLAMA3 | {"low_freq_factor": 2.0}, original_max_position_embeddings=64),
    rope("llama3", **LLAMA3 | {"factor": 4.0}, original_max_position_embeddings=64),
    rope("yarn", factor=4.0, **ORIGINAL),
    rope("yarn", factor=4.0, beta_fast=32, beta_slow=1, **ORIGINAL),
    rope("yarn", factor=4.0, beta_fast=2.0, **ORIGINAL),
    rope("yarn", factor=4.0, beta_slow=4.0, **ORIGINAL),
    rope("yarn", factor=4.0, attention_factor=1.1386294361, **ORIGINAL),
    rope("yarn", factor=4.0, attention_factor=0.5, **ORIGINAL),
    rope("yarn", factor=4.0, truncate=False, **ORIGINAL),
    rope("yarn", factor=4.0),
    rope("yarn", factor=4.0, original_max_position_embeddings=256),
    rope("longrope", **LONG, **ORIGINAL),
    rope("longrope", **LONG, factor=4.0, **ORIGINAL),
    rope("longrope", **LONG, factor=8.0, **ORIGINAL),
    rope("longrope", **LONG, attention_factor=1.2, **ORIGINAL),
    rope("longrope", **LONG | {"long_factor": [3.0] * 64}, **ORIGINAL),
    rope("longrope", **LONG | {"short_factor": [1.5] * 64}, **ORIGINAL),
]


def angles(settings: dict[str, Any]) -> tuple[list[float], ...]:
    """The frequencies and the factor of a Llama of transformers, for short and for long text."""
    import torch
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig.from_dict(settings)
    kind = config.rope_parameters["rope_type"]
    by_length = []
    for length in (None, 1000):
        if kind == "default":
            embedding = LlamaRotaryEmbedding(config)
            frequencies, factor = embedding.inv_freq, embedding.attention_scaling
        else:
            function = ROPE_INIT_FUNCTIONS[kind]
            frequencies, factor = function(config, torch.device("cpu"), seq_len=length)
        by_length.append([*map(float, frequencies), float(factor)])
    return tuple(by_length)


def test_settings_differ_where_transformers_computes_other_angles() -> None:
    pytest.importorskip("torch", reason="needs the extra hf")
    pytest.importorskip("transformers", reason="needs the extra hf")
    sizes = {"hidden_size": 512, "num_attention_heads": 4, "max_position_embeddings": 256}
    configs = [{**sizes, **settings} for settings in COMPARED]
    known = [angles(dict(config)) for config in configs]
    own = [read_rotary_settings(config, read_defaults("llama")) for config in configs]
    equal = 0
    for i, j in itertools.combinations(range(len(configs)), 2):
        same = all(a == pytest.approx(b, rel=1e-6) for a, b in zip(known[i], known[j], strict=True))
        differences = compare_rotary_settings(own[i], own[j])
        assert (differences == []) == same, (COMPARED[i], COMPARED[j], differences)
        equal += same
    assert equal > 5


def test_names_of_what_differs() -> None:
    defaults = read_defaults("gemma3_text")
    config = {"head_dim": 16, "rope_theta": 1e6, "rope_local_base_freq": 1e4}
    nested = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
    }
    pair = [
        read_rotary_settings(c, defaults)
        for c in (config, {"head_dim": 16, "rope_parameters": nested})
    ]
    assert compare_rotary_settings(*pair) == [
        ("rope_theta of sliding_attention", 1e4, 2e4),
        ("rope_type of full_attention", "default", "linear"),
        ("rope_factor of full_attention", None, 8.0),
    ]


def test_types_that_no_table_has_are_read_as_most_are() -> None:
    defaults = read_defaults("never-seen")
    old = {"rotary_emb_base": 2e4, "rotary_pct": 0.5, "head_dim": 8}
    new = {"rope_parameters": {"rope_theta": 2e4, "partial_rotary_factor": 0.5}, "head_dim": 8}
    pair = [read_rotary_settings(config, defaults) for config in (old, new)]
    assert compare_rotary_settings(*pair) == []
    changed = read_rotary_settings({"rope_parameters": {"rope_theta": 1e4}}, defaults)
    assert compare_rotary_settings(pair[0], changed)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        *((kind, {}) for kind in ("gemma2", "gemma3_text", "olmo3", "cohere2", "gpt_oss", "qwen2")),
        ("gemma3_text", {"sliding_window_pattern": 3}),
        ("gemma4_text", {}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 4, "sliding_window": 8}),
        ("qwen3", {"use_sliding_window": False, "max_window_layers": 4, "sliding_window": 8}),
        ("modernbert-decoder", {}),
    ],
)
@pytest.mark.parametrize("layers", [1, 7, 12])
def test_layer_types_are_those_of_transformers(
    maker: Any, model_type: str, settings: dict[str, Any], layers: int
) -> None:
    kind = maker.config_classes()[model_type]
    config = {"num_hidden_layers": layers, **settings}
    saved = maker.read_by_transformers(kind, config)
    assert saved is not None
    assert read_layer_types(config, read_defaults(model_type)) == tuple(saved["layer_types"])
    assert read_layer_types(saved, read_defaults(model_type)) == tuple(saved["layer_types"])
