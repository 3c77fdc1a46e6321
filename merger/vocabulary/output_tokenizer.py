"""The tokenizer of a merge, and the ids of its special tokens in the configurations beside it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merger.checkpoints.companion_files import (
    GENERATION_CONFIG,
    read_companion_files,
    read_tokenizer_files,
)

from .chat_templates import set_chat_template
from .reading import Vocabulary, read_vocabulary
from .special_tokens import NAMES, drop_generation_ids
from .token_files import read_json
from .token_table import TOKENIZER_JSON

_ID_KEY = re.compile(r"(?:\w+_)?token_(?:id|ids|index)")
_TEXT = "text_config"
# Files that hold a vocabulary and that transformers does not need beside tokenizer.json.
_VOCABULARIES = ("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "added_tokens.json")


def files_of_base(base: Path, rows: int, template: str) -> dict[str, bytes]:
    """Tokenizer and generation files of a merge that takes the tokenizer of the base.

    `rows` is the number of vocabulary rows (0 if unknown), `template` the chat template that
    replaces the base's, or empty. Raises MergeError.
    """
    files = read_companion_files(base)
    if rows and GENERATION_CONFIG in files:
        files[GENERATION_CONFIG] = drop_generation_ids(files[GENERATION_CONFIG], rows)
    return set_chat_template(files, template) if template else files


class BuiltTokenizer:
    """A tokenizer that MergeKit wrote into the folder of a merge whose base has another one."""

    def __init__(self, written: Path, base: Path, base_config: Mapping[str, Any]) -> None:
        self._written = written
        self._base = base
        self._before = read_vocabulary(base, base_config)
        self._after = read_vocabulary(written, {})

    def files(self, template: str) -> dict[str, bytes]:
        """The files to write beside MergeKit's: the base's settings, and a chat template.

        No tokenizer file of the base is among them.
        """
        replaced = read_tokenizer_files(self._base)
        files = {
            name: content
            for name, content in read_companion_files(self._base).items()
            if name not in replaced
        }
        if GENERATION_CONFIG in files:
            settings = read_json(self._base / GENERATION_CONFIG)
            files[GENERATION_CONFIG] = _to_json(self.realign(settings))
        if template:
            files |= set_chat_template(read_tokenizer_files(self._written), template)
        return files

    def realign(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration with the ids that the built tokenizer gives to its special tokens."""
        return realign_ids(config, self._before, self._after)


def drop_files_of_base(written: Path, base: Path) -> None:
    """Removes tokenizer files that MergeKit copied from the base beside the one that it built."""
    if (written / TOKENIZER_JSON).is_file():
        copied = read_tokenizer_files(base)
        for name, content in read_tokenizer_files(written).items():
            if name in _VOCABULARIES and copied.get(name) == content:
                (written / name).unlink()


def realign_ids(config: Mapping[str, Any], before: Vocabulary, after: Vocabulary) -> dict[str, Any]:
    """A configuration whose ids of tokens were those of one vocabulary, for another one.

    Ids follow their token, and fall away with it. Beginning, end and padding are those of the
    new tokenizer where it has others than the old one.
    """
    numbers = {token: number for number, token in (after.tokens or {}).items()}
    old = before.tokens or {}

    def moved(number: Any) -> Any:
        return numbers.get(old.get(number, "")) if isinstance(number, int) else number

    realigned = dict(config)
    for key, value in config.items():
        if _ID_KEY.fullmatch(key) and value is not None and not isinstance(value, bool):
            entries = value if isinstance(value, list) else [value]
            ids = [number for entry in entries if (number := moved(entry)) is not None]
            role = _changed_role(key, before, after)
            if role in numbers:
                ids = list(dict.fromkeys([numbers[role], *ids]))
            realigned[key] = (ids if isinstance(value, list) else ids[0]) if ids else None
    if isinstance(config.get(_TEXT), Mapping):
        realigned[_TEXT] = realign_ids(config[_TEXT], before, after)
    return realigned


def _changed_role(key: str, before: Vocabulary, after: Vocabulary) -> str:
    """The token of a role that another one had before, such as the end; empty if it is the same."""
    role = key.removesuffix("_id")
    if role.removesuffix("_token") not in NAMES:
        return ""
    token = after.roles.get(role, "")
    return token if token != before.roles.get(role) else ""


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
