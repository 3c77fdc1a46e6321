"""Little random models of the families that are written as GGUF, with tokenizers of each kind."""

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


TEXTS = (
    "The patient, aged 67, had fever (39.5 degrees) for 12345 days; it's NOT what we'd like.",
    "Pain in the chest\n\n\n  and   chills\t\ttoday.\r\nDon'T you'LL?",
    "Die Überweisung für Straße 7½: à bientôt, ñandú - naïve",
    "患者发烧 3 天。 Пациент болен 😀 café",
    "2024-01-31T12:00:00 1,000.50 mg/dl ((x)) ... !!! ??",
) * 4
"""Texts to train tokenizers on."""


def byte_level(
    *steps: Any, ignore_merges: bool = False, normalizer: Any = None, size: int = 600
) -> Any:
    """Byte-level BPE with the steps of a pre-tokenizer; with GPT-2's words if there are none."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        inner.normalizer = normalizer
    words = steps or (pre_tokenizers.ByteLevel(add_prefix_space=False),)
    inner.pre_tokenizer = pre_tokenizers.Sequence(list(words)) if steps else words[0]
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=tiny_models.SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([*TEXTS, *[tiny_models.WORDS] * 20], trainer)
    bos, _, eos, unk = tiny_models.SPECIAL
    return wrap(inner, bos_token=bos, eos_token=eos, unk_token=unk)


def regex_steps(regex: str) -> list[Any]:
    """The steps of a pre-tokenizer that cuts texts by a regular expression."""
    from tokenizers import Regex, pre_tokenizers

    return [
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


def wrap(inner: Any, **tokens: Any) -> Any:
    """A tokenizer of transformers with a chat template."""
    from transformers import PreTrainedTokenizerFast

    words = PreTrainedTokenizerFast(tokenizer_object=inner, **tokens)
    words.chat_template = tiny_models.TEMPLATE
    return words


def save_sentencepiece(folder: Path, **options: Any) -> Path:
    """tokenizer.model of BPE of SentencePiece, as Llama 2 has it, in a new folder."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "character_coverage": 0.98,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"),
        model_prefix=str(folder / "tokenizer"),
        **{**settings, **options},
    )
    (folder / "texts.txt").unlink()
    (folder / "tokenizer.vocab").unlink()
    return folder / "tokenizer.model"
