"""Reads `tokenizer.json`, the format of the library tokenizers."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .token_files import read_json
from .token_table import TOKENIZER_JSON, TokenTable, damaged, index_tokens

_RULES = ("model", "normalizer", "pre_tokenizer")


def read_tokenizer_json(path: Path) -> TokenTable:
    """The tokens of a BPE, WordPiece, WordLevel or Unigram model and its added tokens.

    Raises MergeError.
    """
    data = read_json(path)
    model = data.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        tokens = index_tokens(path, ((number, token) for token, number in vocabulary.items()))
    elif isinstance(vocabulary, list):  # Unigram: pieces with their scores
        tokens = index_tokens(path, enumerate(_pieces(path, vocabulary)))
    else:
        raise damaged(path, "has no vocabulary")
    for number, token in index_tokens(path, _added(path, data.get("added_tokens"))).items():
        if tokens.setdefault(number, token) != token:
            raise damaged(path, f"id {number} is `{tokens[number]}` and the added token `{token}`")
    return TokenTable(TOKENIZER_JSON, tokens, _digest(data))


def _pieces(path: Path, vocabulary: list[Any]) -> Iterator[Any]:
    for entry in vocabulary:
        if not isinstance(entry, list) or not entry:
            raise damaged(path, "a piece in it has no score")
        yield entry[0]


def _added(path: Path, added: Any) -> Iterator[tuple[object, object]]:
    if not isinstance(added, list | None):
        raise damaged(path, "its added tokens are no list")
    for entry in added or ():
        if not isinstance(entry, dict):
            raise damaged(path, "an added token in it is no object")
        yield entry.get("id"), entry.get("content")


def _digest(data: dict[str, Any]) -> str:
    rules = json.dumps([data.get(key) for key in _RULES], sort_keys=True)
    return hashlib.sha256(rules.encode()).hexdigest()
