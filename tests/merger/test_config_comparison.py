"""Configurations that go together and those that do not, in the spellings of files."""

from typing import Any

import pytest

from merger.checkpoints.config_comparison import compare_configs
from merger.checkpoints.config_settings import (
    CONTEXT,
    GEOMETRY,
    LAYER_TYPES,
    MEANING,
    PER_LAYER,
    ROTARY,
    is_compared,
)
from patientdx.errors import MergeError

Config = dict[str, Any]
SIZES: Config = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 6}
LLAMA: Config = {"model_type": "llama", **SIZES}


def compare(a: Config, b: Config, **options: Any) -> list[str]:
    return compare_configs(["A", "B"], [a, b], 0, **options)


EQUAL: dict[str, tuple[Config, Config]] = {
    "activation by default": (LLAMA, LLAMA | {"hidden_act": "silu"}),
    "names of an activation": (LLAMA | {"hidden_act": "swish"}, LLAMA | {"hidden_act": "silu"}),
    "GELU by tanh": (
        {"model_type": "gpt2", "activation_function": "gelu_new"},
        {"model_type": "gpt2", "activation_function": "gelu_pytorch_tanh"},
    ),
    "nothing and false": (LLAMA, LLAMA | {"attn_temperature_tuning": False, "alibi": None}),
    "theta in both forms": (
        LLAMA | {"rope_theta": 5e5},
        LLAMA | {"rope_parameters": {"rope_theta": 500000, "rope_type": "default"}},
    ),
    "Gemma 3 in both forms": (
        {"model_type": "gemma3_text", **SIZES, "rope_theta": 1e6, "sliding_window_pattern": 6},
        {
            "model_type": "gemma3_text",
            **SIZES,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_theta": 1e6, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
            },
        },
    ),
    "window that is not used": (
        {"model_type": "qwen2", **SIZES, "sliding_window": 32768, "use_sliding_window": False},
        {"model_type": "qwen2", **SIZES, "layer_types": ["full_attention"] * 6},
    ),
    "text of a vision model at the top": (
        {"model_type": "qwen2_vl", **SIZES, "rope_theta": 1e6, "hidden_act": "silu"},
        {
            "model_type": "qwen2_vl",
            "text_config": {"model_type": "qwen2_vl_text", **SIZES, "rope_theta": 1e6},
        },
    ),
    "bookkeeping": (
        LLAMA | {"transformers_version": "4.1", "torch_dtype": "float16", "use_cache": True},
        LLAMA | {"transformers_version": "5.2", "dtype": "bfloat16", "use_cache": False},
    ),
    "dropout and tokens": (
        LLAMA | {"attention_dropout": 0.1, "eos_token_id": 2, "initializer_range": 0.02},
        LLAMA | {"attention_dropout": 0.0, "eos_token_id": [2, 3], "initializer_range": 0.1},
    ),
    "heads of keys": (LLAMA | {"num_key_value_heads": 4}, LLAMA),
    "class of one alone": (LLAMA | {"architectures": ["LlamaForCausalLM"]}, LLAMA),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_settings_go_together_in_all_spellings(name: str) -> None:
    a, b = EQUAL[name]
    assert compare(a, b) == []
    assert compare(b, a) == []


UNSOUND: dict[str, tuple[Config, Config, str]] = {
    "activation": (LLAMA, LLAMA | {"hidden_act": "gelu"}, "hidden_act is silu in A, and gelu in B"),
    "theta": (LLAMA | {"rope_theta": 1e6}, LLAMA, "rope_theta is 1e+06 in A, and 10000 in B"),
    "share of heads": (
        {"model_type": "gpt_neox", **SIZES, "rotary_pct": 1.0},
        {"model_type": "gpt_neox", **SIZES},
        "rotary_dimensions is 16 in A, and 4 in B",
    ),
    "soft cap": (
        {"model_type": "gemma2", "attn_logit_softcapping": None},
        {"model_type": "gemma2"},
        "attn_logit_softcapping is not set in A, and 50 in B",
    ),
    "scale of queries": (
        {"model_type": "gemma2", "query_pre_attn_scalar": 144},
        {"model_type": "gemma2"},
        "query_pre_attn_scalar is 144 in A, and 256 in B",
    ),
    "scale of embeddings": (
        {"model_type": "granite", "embedding_multiplier": 12.0, "logits_scaling": 8.0},
        {"model_type": "granite", "embedding_multiplier": 12.0},
        "logits_scaling is 8 in A, and 1 in B",
    ),
    "experts of a token": (
        {"model_type": "mixtral", "num_experts_per_tok": 2},
        {"model_type": "mixtral", "num_experts_per_tok": 1},
        "num_experts_per_tok is 2 in A, and 1 in B",
    ),
    "ALiBi": (
        {"model_type": "falcon", "alibi": True},
        {"model_type": "falcon"},
        "alibi is True in A, and not set in B",
    ),
    "order of norms": (
        {"model_type": "gpt_neox", **SIZES, "use_parallel_residual": False},
        {"model_type": "gpt_neox", **SIZES},
        "use_parallel_residual is not set in A, and True in B",
    ),
    "layer types": (
        {"model_type": "gemma3_text", **SIZES},
        {"model_type": "gemma3_text", **SIZES, "sliding_window_pattern": 3},
        "the type of layer 2 is sliding_attention in A, and full_attention in B",
    ),
    "of a part": (
        {"model_type": "llava", "text_config": LLAMA | {"rope_theta": 1e6}},
        {"model_type": "llava", "text_config": LLAMA},
        "text_config.rope_theta is 1e+06 in A, and 10000 in B",
    ),
    "of the vision part": (
        {"model_type": "llava", "vision_config": {"model_type": "clip_vision_model"}},
        {
            "model_type": "llava",
            "vision_config": {"model_type": "clip_vision_model", "hidden_act": "gelu"},
        },
        "vision_config.hidden_act is quick_gelu in A, and gelu in B",
    ),
    "attention settings of MPT": (
        {"model_type": "mpt", "attn_config": {"alibi": True, "clip_qkv": 8}},
        {"model_type": "mpt", "attn_config": {"alibi": True}},
        "attn_config.clip_qkv is 8 in A, and not set in B",
    ),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_other_meanings_are_refused_unless_it_is_asked_for(name: str) -> None:
    a, b, problem = UNSOUND[name]
    with pytest.raises(MergeError) as caught:
        compare(a, b)
    assert caught.value.message == f"{problem}: merging them is unsound"
    assert caught.value.hint == "choose siblings, or add --allow-unsound"
    assert f"{problem}: merging them is unsound" in compare(a, b, unsound=True)


CONTEXTS: dict[str, tuple[Config, Config, str]] = {
    "window": (
        {"model_type": "mistral", **SIZES},
        {"model_type": "mistral", **SIZES, "sliding_window": None},
        "sliding_window is 4096 in A, and not set in B; the merge has 4096",
    ),
    "length": (
        LLAMA | {"max_position_embeddings": 4096},
        LLAMA | {"max_position_embeddings": 8192},
        "max_position_embeddings is 4096 in A, and 8192 in B; the merge has 4096",
    ),
    "epsilon": (
        LLAMA | {"rms_norm_eps": 1e-5},
        LLAMA,
        "rms_norm_eps is 1e-05 in A, and 1e-06 in B; the merge has 1e-05",
    ),
    "what no group has": (
        LLAMA | {"some_setting": 1, "another": "x"},
        LLAMA | {"some_setting": 2, "another": "y"},
        "config.json of A and B also differ in another, some_setting; the merge has those of A",
    ),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_the_base_decides_is_a_remark(name: str) -> None:
    a, b, remark = CONTEXTS[name]
    assert compare(a, b) == [remark]


GEOMETRIES: dict[str, tuple[Config, Config, str]] = {
    "type": (LLAMA, LLAMA | {"model_type": "mistral"}, "the model_type is llama in A, and mistral"),
    "no type": (LLAMA, SIZES, "the model_type is llama in A, and not set in B"),
    "layers": (LLAMA, LLAMA | {"num_hidden_layers": 7}, "the number of layers is 6 in A, and 7"),
    "layers of GPT-2": (
        {"model_type": "gpt2", "n_layer": 2},
        {"model_type": "gpt2", "n_layer": 3},
        "the n_layer is 2 in A, and 3",
    ),
    "heads of keys": (LLAMA, LLAMA | {"num_key_value_heads": 2}, "num_key_value_heads is 4 in A"),
    "experts": (
        {"model_type": "mixtral", "num_local_experts": 8},
        {"model_type": "mixtral", "num_local_experts": 4},
        "num_local_experts is 8",
    ),
    "width of a part": (
        {"model_type": "llava", "text_config": LLAMA},
        {"model_type": "llava", "text_config": LLAMA | {"hidden_size": 32}},
        "text_config.hidden_size is 64 in A, and 32 in B",
    ),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_other_geometries_are_refused_in_any_case(name: str) -> None:
    a, b, problem = GEOMETRIES[name]
    for unsound in (False, True):
        with pytest.raises(MergeError) as caught:
            compare(a, b, unsound=unsound)
        assert problem in caught.value.message


def test_recipes_that_move_layers_compare_all_but_the_layers() -> None:
    types = {"layer_types": ["full_attention"] * 6}
    a, b = LLAMA | types, LLAMA | {"num_hidden_layers": 3, "layer_types": ["sliding_attention"] * 3}
    assert compare(a, b, layers_move=True) == []
    with pytest.raises(MergeError, match="rope_theta"):
        compare(a, b | {"rope_theta": 1e6}, layers_move=True)
    with pytest.raises(MergeError, match="hidden_size"):
        compare(a, b | {"hidden_size": 32}, layers_move=True)


def test_the_gravest_difference_is_named_first() -> None:
    other = LLAMA | {"rope_theta": 1e6, "hidden_size": 32, "sliding_window": 8}
    with pytest.raises(MergeError, match="hidden_size"):
        compare(LLAMA, other)


def test_each_setting_is_in_one_group() -> None:
    groups = [GEOMETRY, MEANING, CONTEXT, ROTARY, LAYER_TYPES]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))
    assert not PER_LAYER - GEOMETRY - MEANING - LAYER_TYPES - {"attention_layers"}
    assert not any(map(is_compared, frozenset().union(*groups)))
