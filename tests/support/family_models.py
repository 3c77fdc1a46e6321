"""Pairs of tiny models of many families, of random weights, as transformers saves them.

Needs the extra hf. `save_pair` makes folders `A` and `B`; hidden size 32, three layers, 300 tokens.
"""

from functools import cache
from pathlib import Path
from typing import Any

import tiny_models

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8}
_DEEPSEEK = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_EYE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "image_size": 28}
_OLD = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 2}
_NO_GROUPS = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
_FEED = {"decoder_ffn_dim": 24, "encoder_ffn_dim": 24, "d_model": 16}
_SIDES = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}

# Family: the class of the model, that of the configuration, and settings.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", SIZES),
    "mistral": ("MistralForCausalLM", "MistralConfig", SIZES),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", {**SIZES, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**SIZES, "head_dim": 8}),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", {**SIZES, "head_dim": 8}),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", {**SIZES, "head_dim": 8}),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**SIZES, "head_dim": 8}),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", SIZES),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        {**SIZES, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {**_OLD, "n_embd": 32, "n_layer": 3, "n_head": 4}),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {**_OLD, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "intermediate_size": 48,
         "max_position_embeddings": 64, "attention_types": [[["global", "local"], 2]]},
    ),
    "gptneox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _NO_GROUPS),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {**_OLD, "hidden_size": 32, "n_layer": 3, "n_head": 4},
    ),
    "opt": (
        "OPTForCausalLM",
        "OPTConfig",
        {**_NO_GROUPS, "ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": 300, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_heads": 4, "num_layers": 2,
         "num_decoder_layers": 3, "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu"},
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {**_FEED, **_SIDES, "vocab_size": 300, "encoder_layers": 2, "decoder_layers": 3,
         "num_mel_bins": 8, "max_source_positions": 32, "max_target_positions": 16,
         "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 1,
         "suppress_tokens": None, "begin_suppress_tokens": None},
    ),
    "mixtral": (
        "MixtralForCausalLM",
        "MixtralConfig",
        {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen2moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        {**SIZES, **_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16},
    ),
    "deepseek3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        {**SIZES, "num_key_value_heads": 4, **_EXPERTS, **_LATENT, **_DEEPSEEK, "v_head_dim": 8},
    ),
    "llava": ("LlavaForConditionalGeneration", "LlavaConfig", {}),
}  # fmt: skip


@cache
def words() -> Any:
    """The tokenizer of all of them."""
    return tiny_models.tokenizer()


def configuration(family: str, **changes: Any) -> Any:
    """The configuration of a family."""
    import transformers

    _, kind, settings = FAMILIES[family]
    if family == "llava":
        eye = transformers.CLIPVisionConfig(**_EYE, num_attention_heads=2, patch_size=14)
        text = transformers.LlamaConfig(**SIZES)
        settings = {"text_config": text, "vision_config": eye}
    return getattr(transformers, kind)(**{**settings, **changes})


def save_model(
    folder: Path, family: str, *, seed: int = 0, dtype: str = "bfloat16", **changes: Any
) -> Path:
    """A model with its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(seed)
    model = getattr(transformers, FAMILIES[family][0])(configuration(family, **changes))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


def save_pair(root: Path, family: str, **changes: Any) -> tuple[Path, Path]:
    """Two models of a family, unlike each other."""
    return (
        save_model(root / family / "A", family, seed=0, **changes),
        save_model(root / family / "B", family, seed=1, **changes),
    )
