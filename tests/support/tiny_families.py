"""Small models of random weights of many families, as transformers saves them.

One set of sizes serves most families; each adds what its configuration calls otherwise. All share
the tokenizer of tiny_models.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tiny_models

LAYERS = 3
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
_ONE_HEAD_SIZE = {"num_key_value_heads": 4}
_GPT = {"n_embd": 64, "n_layer": LAYERS, "n_head": 4, "n_positions": 256, "n_ctx": 256}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_ROUTED = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_LATENT = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "qk_nope_head_dim": 16,
}  # fmt: skip
_CLIP = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
_ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
_QWEN_EYE = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2}
_QWEN3_EYE = {
    **_QWEN_EYE, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64,
    "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16,
}  # fmt: skip
_TEXT = {"head_dim": 16, "rope_parameters": _ROPE}
_BERT = {"type_vocab_size": 2}
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": LAYERS, "num_heads": 4}
_WHISPER = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": LAYERS, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96,
    "num_mel_bins": 16, "max_source_positions": 32, "max_target_positions": 64,
    "decoder_start_token_id": 0, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A family of models: its class in transformers, and what its configuration adds to SIZES.

    `parts` are the configurations of the parts of a model of text and images: the text part adds to
    SIZES, the others stand alone. `adapted` are modules that a LoRA can adapt.
    """

    model: str
    changes: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapted: tuple[str, ...] = ("q_proj", "v_proj")
    plain: bool = True

    def config(self, **changes: Any) -> Any:
        """The configuration, with further changes."""
        import transformers

        config_class = getattr(transformers, self.model).config_class
        words = {"vocab_size": vocabulary()}
        text = (SIZES if self.plain else {}) | words | self.changes | changes
        if not self.parts:
            return config_class(**text)
        own = self.parts.get("", {})
        parts = {name: dict(part) for name, part in self.parts.items() if name}
        parts["text_config"] = text | parts.get("text_config", {})
        tokens = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
        return config_class(**parts, **{**tokens, **own})


@cache
def vocabulary() -> int:
    """The number of tokens of the shared tokenizer."""
    return len(tiny_models.tokenizer())


FAMILIES: dict[str, Family] = {
    "afmoe": Family(
        "AfmoeForCausalLM",
        {**_EXPERTS, "num_experts": 4, "num_dense_layers": 1, "num_shared_experts": 1,
         "head_dim": 16, "sliding_window": 64, "global_attn_every_n_layers": 3},
    ),
    "apertus": Family("ApertusForCausalLM"),
    "arcee": Family("ArceeForCausalLM"),
    "bert": Family("BertForMaskedLM", _BERT, adapted=("query", "value")),
    "bloom": Family("BloomForCausalLM", _GPT | {"hidden_size": 64}, adapted=("query_key_value",),
                    plain=False),
    "cohere": Family("CohereForCausalLM", {"use_qk_norm": True}),
    "cohere2": Family("Cohere2ForCausalLM", {"sliding_window": 64}),
    "deepseek_v3": Family(
        "DeepseekV3ForCausalLM", _EXPERTS | _ROUTED | _LATENT | _ONE_HEAD_SIZE,
        adapted=("q_a_proj", "o_proj"),
    ),
    "distilbert": Family(
        "DistilBertForMaskedLM", {"dim": 64, "hidden_dim": 96, "n_layers": LAYERS, "n_heads": 4,
                                  "max_position_embeddings": 256, "initializer_range": 0.2},
        adapted=("q_lin", "v_lin"), plain=False,
    ),
    "falcon": Family(
        "FalconForCausalLM",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "tie_word_embeddings": False},
        adapted=("query_key_value",),
    ),
    "gemma": Family("GemmaForCausalLM", {"head_dim": 16}),
    "gemma2": Family("Gemma2ForCausalLM", {"head_dim": 16, "sliding_window": 64}),
    "gemma3_text": Family("Gemma3ForCausalLM", {"head_dim": 16, "sliding_window": 64}),
    "gemma3": Family(
        "Gemma3ForConditionalGeneration", {"head_dim": 16, "sliding_window": 64},
        {"vision_config": {**_CLIP, "image_size": 56}, "": {"mm_tokens_per_image": 4}},
    ),
    "glm4": Family("Glm4ForCausalLM", {"head_dim": 16}),
    "glm4_moe": Family("Glm4MoeForCausalLM", _EXPERTS | _ROUTED | {"head_dim": 16}),
    "gpt2": Family("GPT2LMHeadModel", _GPT, adapted=("c_attn",), plain=False),
    "gpt_bigcode": Family("GPTBigCodeForCausalLM", _GPT, adapted=("c_attn",), plain=False),
    "gpt_neox": Family("GPTNeoXForCausalLM", adapted=("query_key_value",)),
    "gpt_oss": Family(
        "GptOssForCausalLM",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 64},
    ),
    "gptj": Family("GPTJForCausalLM", _GPT | {"rotary_dim": 8}, plain=False),
    "granite": Family("GraniteForCausalLM"),
    "granitemoehybrid": Family(
        "GraniteMoeHybridForCausalLM",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 32,
         "layer_types": ["mamba", "attention", "mamba"], "mamba_n_heads": 8, "mamba_d_head": 16,
         "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_chunk_size": 16},
    ),
    "lfm2": Family("Lfm2ForCausalLM", {"layer_types": ["conv", "full_attention", "conv"]}),
    "llama": Family("LlamaForCausalLM"),
    "llama4": Family(
        "Llama4ForConditionalGeneration",
        {"num_local_experts": 2, "head_dim": 16, "intermediate_size_mlp": 96,
         "attention_chunk_size": 64},
        {"vision_config": {**_CLIP, "vision_output_dim": 64, "projector_input_dim": 64,
                           "projector_output_dim": 64, "pixel_shuffle_ratio": 0.5}},
    ),
    "llava": Family(
        "LlavaForConditionalGeneration", {},
        {"text_config": {"model_type": "llama"},
         "vision_config": {**_CLIP, "model_type": "clip_vision_model"}},
    ),
    "mamba": Family(
        "MambaForCausalLM", {"hidden_size": 64, "num_hidden_layers": LAYERS, "state_size": 8,
                             "time_step_rank": 4, "initializer_range": 0.2},
        adapted=("x_proj", "in_proj"), plain=False,
    ),
    "mistral": Family("MistralForCausalLM", {"sliding_window": None}),
    "mistral3": Family(
        "Mistral3ForConditionalGeneration", {"head_dim": 16, "sliding_window": None},
        {"text_config": {"model_type": "mistral"},
         "vision_config": {**_CLIP, "model_type": "pixtral", "head_dim": 16}},
    ),
    "mixtral": Family(
        "MixtralForCausalLM",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "olmo2": Family("Olmo2ForCausalLM"),
    "opt": Family("OPTForCausalLM", {"ffn_dim": 96, "word_embed_proj_dim": 64, "init_std": 0.2}),
    "phi": Family("PhiForCausalLM"),
    "phi3": Family("Phi3ForCausalLM", adapted=("qkv_proj",)),
    "qwen2": Family("Qwen2ForCausalLM", {"tie_word_embeddings": True}),
    "qwen2_moe": Family(
        "Qwen2MoeForCausalLM", _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 32}
    ),
    "qwen2_vl": Family(
        "Qwen2VLForConditionalGeneration", _TEXT,
        {"vision_config": {**_QWEN_EYE, "embed_dim": 32, "hidden_size": 64}},
    ),
    "qwen2_5_vl": Family(
        "Qwen2_5_VLForConditionalGeneration", _TEXT,
        {"vision_config": {**_QWEN_EYE, "hidden_size": 32, "intermediate_size": 48,
                           "out_hidden_size": 64, "fullatt_block_indexes": [1]}},
    ),
    "qwen3": Family("Qwen3ForCausalLM", {"head_dim": 16}),
    "qwen3_moe": Family("Qwen3MoeForCausalLM", _EXPERTS | {"num_experts": 4, "head_dim": 16}),
    "qwen3_vl": Family("Qwen3VLForConditionalGeneration", _TEXT, {"vision_config": _QWEN3_EYE}),
    "qwen3_vl_moe": Family(
        "Qwen3VLMoeForConditionalGeneration", _TEXT | _EXPERTS | {"num_experts": 4},
        {"vision_config": _QWEN3_EYE},
    ),
    "roberta": Family("RobertaForMaskedLM", _BERT, adapted=("query", "value")),
    "rwkv": Family(
        "RwkvForCausalLM",
        {"hidden_size": 64, "num_hidden_layers": LAYERS, "attention_hidden_size": 64,
         "context_length": 256, "bos_token_id": 0, "eos_token_id": 2},
        adapted=("key", "value"), plain=False,
    ),
    "smollm3": Family("SmolLM3ForCausalLM"),
    "stablelm": Family("StableLmForCausalLM"),
    "starcoder2": Family("Starcoder2ForCausalLM", {"sliding_window": None}),
    "t5": Family("T5ForConditionalGeneration", _T5, adapted=("q", "v"), plain=False),
    "whisper": Family("WhisperForConditionalGeneration", _WHISPER, plain=False),
}  # fmt: skip


_LINEAR = {
    "head_dim": 16, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}  # fmt: skip
FURTHER: dict[str, Family] = {
    "hrm_text": Family("HrmTextForCausalLM", {"head_dim": 16}),
    "jamba": Family(
        "JambaForCausalLM",
        {"num_experts": 4, "num_experts_per_tok": 2, "attn_layer_period": 2,
         "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
         "mamba_d_state": 8, "mamba_dt_rank": 4},
    ),
    "lara_mini": Family("LaraMiniForCausalLM", {"head_dim": 16}),
    "olmo_hybrid": Family("OlmoHybridForCausalLM"),
    "phimoe": Family("PhimoeForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_next": Family(
        "Qwen3NextForCausalLM",
        _EXPERTS | _LINEAR | {"num_experts": 4, "shared_expert_intermediate_size": 32},
    ),
}  # fmt: skip
"""Families with other compositions on loading: split, concatenated, experts of several kinds."""


def make_model(family: str, seed: int, dtype: str = "bfloat16", **changes: Any) -> Any:
    """A model of random weights, also those that transformers begins at 0 or 1."""
    import torch
    import transformers

    torch.manual_seed(seed)
    known = (FAMILIES | FURTHER)[family]
    model = getattr(transformers, known.model)(known.config(**changes)).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.05)
            tensor.data = tensor.to(getattr(torch, dtype))
        for tensor in model.buffers():
            if tensor.is_floating_point():
                tensor.data = tensor.to(getattr(torch, dtype))
    return model


def save_family(folder: Path, family: str, seed: int, **options: Any) -> Path:
    """A model of a family and its tokenizer in a folder."""
    make_model(family, seed, **options).save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


def save_family_pair(folder: Path, family: str, **options: Any) -> list[Path]:
    """Two models of a family, unlike each other."""
    return [save_family(folder / f"{family}-{i}", family, i, **options) for i in (1, 2)]


def change_tensors(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """The folder with other tensors in its only file."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({n: t.contiguous() for n, t in tensors.items()}, path, {"format": "pt"})
    return folder
