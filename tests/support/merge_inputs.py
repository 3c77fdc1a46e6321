"""Small models to merge at the command line, made without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_checkpoints import near, random_tensors, write

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 50,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def make_pair(folder: Path, *, licence: str | None = "apache-2.0", **options: Any) -> None:
    """Folders `math-model` and `medical-model`, with a tokenizer of 50 words and model cards."""
    tensors = random_tensors(1, **options)
    make(folder / "math-model", tensors, licence=licence)
    make(folder / "medical-model", near(tensors, 2), licence=licence)


def make(
    folder: Path, tensors: Mapping[str, Any], *, licence: str | None = None, **config: Any
) -> Path:
    """A model of given tensors."""
    write(folder, tensors, config=CONFIG | config)
    words = {f"w{i}": i for i in range(50)}
    tokenizer = {"model": {"type": "WordLevel", "vocab": words}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    if licence:
        card = f"---\nlicense: {licence}\n---\n# A model\n"
        (folder / "README.md").write_text(card, encoding="utf-8")
    return folder
