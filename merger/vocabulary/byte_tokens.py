"""Reads vocabularies of byte sequences: tiktoken files, and Mistral's `tekken.json`.

Tokens are spelled as byte-level BPE spells them in `tokenizer.json` (GPT-2's table of bytes), so
that a tokenizer and its conversion are equal.
"""

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .token_files import read_bytes, read_json
from .token_table import HIGHEST_ID, TokenTable, damaged, index_tokens

_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]{1,9}\r?(?:\n|\Z)")
# mistral-common fills the ids in reserve by such names.
_FILLER = "<SPECIAL_{}>"
_MOST_RESERVED = 1 << 16  # ids; Mistral's have 1,000


def is_tiktoken(data: bytes) -> bool:
    """Whether a file begins as tiktoken's do, with base64 and a rank."""
    return _TIKTOKEN.match(data) is not None


def read_tiktoken(path: Path, data: bytes) -> TokenTable:
    """The tokens of a tiktoken file; the code of its tokenizer adds others.

    Raises MergeError.
    """
    tokens = index_tokens(path, _ranks(path, data))
    return TokenTable(path.name, tokens, hashlib.sha256(data).hexdigest(), complete=False)


def read_tekken(path: Path) -> TokenTable:
    """The tokens of a `tekken.json`. Raises MergeError."""
    data = read_json(path)
    config, special = data.get("config"), data.get("special_tokens")
    vocabulary = data.get("vocab")
    if not isinstance(config, dict) or not isinstance(vocabulary, list):
        raise damaged(path, "has no vocabulary")
    reserved = _count(path, config, "default_num_special_tokens")
    size = _count(path, config, "default_vocab_size")
    if not reserved <= min(size, _MOST_RESERVED):
        raise damaged(path, f"has {reserved:,} special tokens")
    pairs = [
        (reserved + number, spell_bytes(_decode(path, entry.get("token_bytes"))))
        for number, entry in enumerate(_objects(path, vocabulary[: size - reserved]))
    ]
    names = {}
    if isinstance(special, list):
        entries = _objects(path, special)
        listed = index_tokens(
            path, ((entry.get("rank"), entry.get("token_str")) for entry in entries)
        )
        names = {number: listed.get(number, _FILLER.format(number)) for number in range(reserved)}
    tokens = index_tokens(path, [*names.items(), *pairs])
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    return TokenTable(path.name, tokens, digest, complete=bool(names) or not reserved)


def spell_bytes(data: bytes) -> str:
    """Bytes in GPT-2's spelling: printable characters of Latin-1 as they are, others moved up."""
    return data.decode("latin-1").translate(_SPELLING)


def _spelling() -> dict[int, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = sorted(set(range(256)) - set(printable))
    return {byte: 256 + n for n, byte in enumerate(moved)}


_SPELLING = _spelling()


def _ranks(path: Path, data: bytes) -> Iterator[tuple[int, str]]:
    for n, line in enumerate(data.splitlines(), 1):
        if not line:
            continue
        if not _TIKTOKEN.fullmatch(line):
            raise damaged(path, f"line {n} is not a token and its rank")
        text, _, rank = line.partition(b" ")
        yield int(rank), spell_bytes(_decode(path, text))


def _decode(path: Path, text: Any) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError, TypeError):
        raise damaged(path, "a token in it is not base64") from None


def _count(path: Path, config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < HIGHEST_ID:
        raise damaged(path, f"has no {key}")
    return value


def _objects(path: Path, entries: list[Any]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if not isinstance(entry, dict):
            raise damaged(path, "a token in it is no object")
        yield entry
