"""Small tokenizers in every format of files, written into folders."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LINES = [
    "The patient came in with fever and chills.",
    "Pain in the chest and a cough for three days.",
    "A rash that spread to the arms, then to the legs.",
]
CHATML = ("<|im_end|>", "<|im_start|>")


def save_fast(folder: Path, kind: str, *, special: Mapping[str, str] | None = None) -> Path:
    """A `tokenizer.json` of a kind of model (BPE, WordPiece, Unigram, WordLevel)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    options = {"special_tokens": ["<unk>", "<s>", "</s>"], "show_progress": False}
    unknown = {} if kind == "Unigram" else {"unk_token": "<unk>"}
    inner = Tokenizer(getattr(models, kind)(**unknown))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind == "BPE":
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    if kind == "Unigram":
        options["unk_token"] = "<unk>"
    trainer: Any = getattr(trainers, f"{kind.replace('BPE', 'Bpe')}Trainer")
    inner.train_from_iterator(LINES * 20, trainer(vocab_size=300, **options))
    named = {"unk_token": "<unk>", "eos_token": "</s>", **(special or {})}
    PreTrainedTokenizerFast(tokenizer_object=inner, **named).save_pretrained(folder)
    return folder


def save_pieces(folder: Path, kind: str = "bpe", **options: Any) -> Path:
    """A `tokenizer.model` of SentencePiece, of some 80 pieces."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "text.txt"
    text.write_text("\n".join(LINES * 50), "utf-8")
    settings: dict[str, Any] = {
        "vocab_size": 80,
        "model_type": kind,
        "hard_vocab_limit": False,
        "minloglevel": 3,
    }
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), **(settings | options)
    )
    text.unlink()
    (folder / "tokenizer.vocab").unlink()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
    return folder


def add_tokens(folder: Path, added: Mapping[str, int], form: str, **named: str) -> None:
    """Adds tokens as `added_tokens.json` or as the `added_tokens_decoder` of the configuration.

    `named` are special tokens by role, which are also written to special_tokens_map.json.
    """
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8")) | named
    if form in {"decoder", "both"}:
        flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
        config["added_tokens_decoder"] = {
            str(number): {"content": token, "special": True, **flags}
            for token, number in added.items()
        }
    if form in {"file", "both"}:
        write_json(folder / "added_tokens.json", added)
        write_json(folder / "special_tokens_map.json", named)
    write_json(folder / "tokenizer_config.json", config)


def byte_tokens(*more: bytes) -> list[bytes]:
    """Every byte, and some longer tokens."""
    return [*(bytes([n]) for n in range(256)), b" the", b"fever", "é".encode(), *more]


def write_tiktoken(path: Path, tokens: Sequence[bytes]) -> Path:
    """A tiktoken file of these tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    path.write_text("".join(lines), "ascii")
    return path


def write_tekken(
    path: Path, tokens: Sequence[bytes], special: Sequence[str], reserved: int, size: int
) -> Path:
    """A `tekken.json`, of which `size` ids are in use, the first of them `reserved`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {"pattern": ".", "num_vocab_tokens": len(tokens), "version": "v7"}
    config |= {"default_vocab_size": size, "default_num_special_tokens": reserved}
    content = {
        "config": config,
        "vocab": [
            {"rank": n, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
            for n, token in enumerate(tokens)
        ],
        "special_tokens": [
            {"rank": n, "token_str": token, "is_control": True} for n, token in enumerate(special)
        ],
    }
    write_json(path, content)
    return path


def write_json(path: Path, content: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(content), "utf-8")
