"""Byte-level BPE, as GPT-2, Llama 3 and Qwen have it, as metadata of a GGUF file.

llama.cpp knows the ways of cutting a text into words by name (`tokenizer.ggml.pre`). A way that is
not known here, by its exact definition in tokenizer.json, is refused: a similar one would cut some
texts differently.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from patientdx.errors import MergeError

from .container import Metadata
from .token_list import TokenKind, TokenList
from .tokenizer_files import TokenizerFiles

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS = rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}"
_ONE_DIGIT = rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}|{_REST}"

_GPT2, _DIGITS, _BYTES = "GPT-2's words", "single digits", "bytes"


class _Splitting(NamedTuple):
    """A way of cutting texts, and whether a word that is a token is taken without merges."""

    steps: tuple[str, ...]
    ignores_merges: bool


_NAMES: Mapping[_Splitting, str] = MappingProxyType(
    {
        _Splitting((_GPT2,), ignores_merges=False): "gpt-2",
        _Splitting((_DIGITS, _GPT2), ignores_merges=False): "smollm",
        _Splitting((_THREE_DIGITS, _BYTES), ignores_merges=True): "llama-bpe",
        _Splitting((_THREE_DIGITS, _BYTES), ignores_merges=False): "dbrx",
        _Splitting((_ONE_DIGIT, _BYTES), ignores_merges=False): "qwen2",
    }
)
# Settings of the BPE model that change what it does, with the values of a plain one.
_PLAIN: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "dropout": (None, 0.0),
        "continuing_subword_prefix": (None, ""),
        "end_of_word_suffix": (None, ""),
        "byte_fallback": (None, False),
    }
)


def describe_byte_level(files: TokenizerFiles, rows: int) -> Metadata:
    """Tokens, merges and the name of the pre-tokenizer. Raises MergeError for unknown ones."""
    model = files.tokenizer["model"]
    for key, values in _PLAIN.items():
        if model.get(key) not in values:
            raise _unknown(f"its BPE sets `{key}`")
    texts = {int(number): text for text, number in model["vocab"].items()}
    table = TokenList(texts, dict.fromkeys(texts, TokenKind.NORMAL))
    for token in files.added_tokens():
        table.add(token)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _name_of_splitting(files.tokenizer),
        **table.describe(rows),
        "tokenizer.ggml.merges": [
            merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]
        ],
    }


def byte_level_remark(files: TokenizerFiles) -> str | None:
    """A remark on texts that llama.cpp reads differently."""
    if _normalizers(files.tokenizer) == ["NFC"]:
        return (
            "llama.cpp does not compose accents (NFC) before it reads a text, as this tokenizer "
            "does: texts with decomposed accents are read differently by the GGUF file"
        )
    return None


def _name_of_splitting(tokenizer: Mapping[str, Any]) -> str:
    if _normalizers(tokenizer) not in ([], ["NFC"]):
        raise _unknown("it normalises texts")
    steps = tuple(_step(entry) for entry in _pre_tokenizers(tokenizer))
    ignores_merges = bool(tokenizer["model"].get("ignore_merges"))
    name = _NAMES.get(_Splitting(steps, ignores_merges=ignores_merges))
    if name is None:
        raise _unknown("llama.cpp has no name known to us for how it cuts texts into words")
    return name


def _step(entry: Mapping[str, Any]) -> str:
    """A step of the pre-tokenizer in short."""
    kind = entry.get("type")
    if kind == "ByteLevel" and not entry.get("add_prefix_space"):
        return _GPT2 if entry.get("use_regex", True) else _BYTES
    if kind == "Digits" and entry.get("individual_digits"):
        return _DIGITS
    plain = entry.get("behavior") == "Isolated" and not entry.get("invert")
    if kind == "Split" and plain and isinstance(entry["pattern"], Mapping):
        return str(entry["pattern"].get("Regex"))
    return f"unknown: {kind}"


def _pre_tokenizers(tokenizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entry = tokenizer.get("pre_tokenizer") or {}
    return list(entry["pretokenizers"]) if entry.get("type") == "Sequence" else [entry]


def _normalizers(tokenizer: Mapping[str, Any]) -> list[str]:
    entry = tokenizer.get("normalizer")
    if not entry:
        return []
    entries = entry["normalizers"] if entry.get("type") == "Sequence" else [entry]
    return [str(part.get("type")) for part in entries]


def _unknown(difference: str) -> MergeError:
    return MergeError(
        f"this merge's tokenizer cannot be written as GGUF: {difference}",
        hint="merge without --gguf",
    )
