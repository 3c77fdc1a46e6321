"""Little random models of the families that are written as GGUF, with tokenizers of each kind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny_models

SIZES: Mapping[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "initializer_range": 0.06,
    "tie_word_embeddings": False,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True},
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama-wide-heads": {"model_type": "llama", "head_dim": 96},
    "llama-3.1": {"model_type": "llama", "rope_parameters": LLAMA3_ROPE},
    "llama-yarn": {"model_type": "llama", "rope_parameters": YARN_ROPE},
    "llama-linear": {"model_type": "llama", "rope_parameters": LINEAR_ROPE},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3", "head_dim": 128},
    "gemma": {"model_type": "gemma", "tie_word_embeddings": True, "head_dim": 128},
}
"""Settings by name, over `SIZES`."""


def save_model(folder: Path, name: str, words: Any, *, seed: int = 0, **settings: Any) -> Path:
    """A model of the table in bfloat16, in a new folder, with a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    values = {**SIZES, "vocab_size": len(words), **MODELS[name], **settings}
    kind = values.pop("model_type")
    ids = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    config = AutoConfig.for_model(kind, **values, **ids, pad_token_id=None)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(("norm.weight", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def byte_level(regex: str | None = None, **settings: Any) -> Any:
    """Byte-level BPE with the words of GPT-2, or those of a regular expression."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers

    words = tiny_models.tokenizer()
    if regex is not None:
        state = json.loads(words.backend_tokenizer.to_str())
        inner = Tokenizer.from_str(json.dumps(state))
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(regex), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        words = _wrap(inner, **settings)
    return words


def _wrap(inner: Any, **settings: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    bos, eos, unk = tiny_models.SPECIAL[0], tiny_models.SPECIAL[2], tiny_models.SPECIAL[3]
    words = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=bos, eos_token=eos, unk_token=unk, **settings
    )
    words.chat_template = tiny_models.TEMPLATE
    return words
