"""Reads `vocab.json` with `merges.txt`, as before `tokenizer.json`, and `vocab.txt`."""

import hashlib
from pathlib import Path

from .token_files import read_bytes, read_json, read_text
from .token_table import TokenTable, index_tokens


def read_vocab_json(path: Path) -> TokenTable:
    """The tokens of a `vocab.json`; its rules are the merges beside it. Raises MergeError."""
    tokens = index_tokens(path, ((number, token) for token, number in read_json(path).items()))
    merges = path.with_name("merges.txt")
    rules = read_bytes(merges) if merges.is_file() else b""
    return TokenTable(path.name, tokens, hashlib.sha256(rules).hexdigest())


def read_vocab_txt(path: Path) -> TokenTable:
    """The tokens of a `vocab.txt`, one a line, which counts from 0. Raises MergeError."""
    lines = read_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    tokens = index_tokens(path, enumerate(line.removesuffix("\r") for line in lines))
    return TokenTable(path.name, tokens, hashlib.sha256("\n".join(lines).encode()).hexdigest())
