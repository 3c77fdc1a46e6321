"""Reads the vocabulary of a model's folder from all of its tokenizer files."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .byte_tokens import is_tiktoken, read_tekken, read_tiktoken
from .sentencepiece_model import read_sentencepiece_model
from .special_tokens import (
    GENERATION_CONFIG,
    read_added_tokens,
    read_special_tokens,
    special_ids,
)
from .token_files import read_bytes, read_json
from .token_table import TOKENIZER_JSON, TokenTable, combine_tables
from .tokenizer_json import read_tokenizer_json
from .word_lists import read_vocab_json, read_vocab_txt

# Vocabularies whose ids depend on code: a tokenizer may shift their pieces and put others before.
_SHIFTED = (
    *("spiece.model", "spm.model", "sentencepiece.model", "sentencepiece.bpe.model"),
    *("source.spm", "target.spm", "spm_char.model", "prophetnet.tokenizer"),
)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model's tokenizer by id; `tokens` is None if they cannot be read.

    `padding` is the token that fills batches, `digest` that of what turns text into ids,
    `special` the ids of special tokens in config.json and generation_config.json. `complete` is
    False if the tokenizer has tokens that no file names, `files` names the files, `roles` has the
    special tokens by role, such as `eos_token`.
    """

    tokens: Mapping[int, str] | None
    padding: str | None = None
    digest: str = ""
    special: tuple[int, ...] = ()
    complete: bool = True
    files: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of rows that a model needs for these ids; 0 if they are not known."""
        return max(self.tokens, default=-1) + 1 if self.tokens is not None else 0

    @property
    def has_files(self) -> bool:
        """Whether there is a tokenizer, readable or not."""
        return bool(self.files) or self.tokens is not None

    @property
    def is_known(self) -> bool:
        """Whether every token is known, so that other rows are padding."""
        return self.tokens is not None and self.complete


def read_vocabulary(folder: Path, config: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a model's folder; `config` is its config.json.

    Raises MergeError for a tokenizer file that is damaged, and for files that contradict each
    other.
    """
    special = _all_special_ids(folder, config)
    tables = _read_tables(folder)
    shifted = tuple(name for name in _SHIFTED if (folder / name).is_file())
    if not tables:
        digest = hashlib.sha256(b"".join(read_bytes(folder / name) for name in shifted))
        return Vocabulary(
            None, digest=digest.hexdigest() if shifted else "", special=special, files=shifted
        )
    tokens = combine_tables(folder, tables, read_added_tokens(folder))
    roles = read_special_tokens(folder)
    _append_unnumbered(tokens, roles)
    first = tables[0]
    complete = any(table.complete for table in tables)
    files = (*(table.file for table in tables), *shifted)
    digest_of_rules = f"{first.file} {first.rules}"
    padding = roles.get("pad_token")
    return Vocabulary(tokens, padding, digest_of_rules, special, complete, files, roles)


def _read_tables(folder: Path) -> list[TokenTable]:
    """The vocabularies of a folder, that which transformers reads first."""
    readers: list[tuple[Path, Callable[[Path], TokenTable]]] = [
        (folder / TOKENIZER_JSON, read_tokenizer_json),
        (folder / "tokenizer.model", _read_tokenizer_model),
        (folder / "vocab.json", read_vocab_json),
        (folder / "vocab.txt", read_vocab_txt),
        (folder / "tekken.json", read_tekken),
        (folder / "tiktoken.model", _read_tokenizer_model),
        *((path, _read_tokenizer_model) for path in sorted(folder.glob("*.tiktoken"))),
    ]
    return [read(path) for path, read in readers if path.is_file()]


def _read_tokenizer_model(path: Path) -> TokenTable:
    data = read_bytes(path)
    return (read_tiktoken if is_tiktoken(data) else read_sentencepiece_model)(path, data)


def _append_unnumbered(tokens: dict[int, str], roles: Mapping[str, str]) -> None:
    """Gives ids to special tokens that have none, as transformers does: behind all others."""
    names = set(tokens.values())
    for token in dict.fromkeys(roles.values()):
        if token not in names:
            tokens[max(tokens, default=-1) + 1] = token


def _all_special_ids(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    generation = read_json(folder / GENERATION_CONFIG)
    ids = [*special_ids(config).values(), *special_ids(generation).values()]
    return tuple(sorted({number for numbers in ids for number in numbers}))
