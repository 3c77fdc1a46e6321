"""The files of a tokenizer beside a model: what they say of special tokens and of templates."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from merger.vocabulary.chat_templates import stored_chat_template
from merger.vocabulary.special_tokens import GENERATION_CONFIG, TOKENIZER_CONFIG
from merger.vocabulary.token_files import read_bytes, read_json
from merger.vocabulary.token_table import TOKENIZER_JSON
from patientdx.errors import MergeError

from .token_list import AddedToken


class TokenizerFiles:
    """The files by name, read when needed. Missing ones are empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def tokenizer(self) -> Mapping[str, Any]:
        """tokenizer.json, the tokenizer as the library `tokenizers` saves it."""
        return read_json(self.folder / TOKENIZER_JSON)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """tokenizer_config.json over special_tokens_map.json."""
        return {
            **read_json(self.folder / "special_tokens_map.json"),
            **read_json(self.folder / TOKENIZER_CONFIG),
        }

    @cached_property
    def generation(self) -> Mapping[str, Any]:
        """generation_config.json."""
        return read_json(self.folder / GENERATION_CONFIG)

    @property
    def sentencepiece(self) -> bytes | None:
        """tokenizer.model."""
        path = self.folder / "tokenizer.model"
        return read_bytes(path) if path.is_file() else None

    def special_token(self, name: str) -> str | None:
        """The text of a special token: `bos`, `eos`, `unk` or `pad`."""
        token = self.settings.get(f"{name}_token")
        text = token.get("content") if isinstance(token, Mapping) else token
        return text if isinstance(text, str) else None

    def chat_template(self) -> str | None:
        """The template of chats; the default one where there are several."""
        return stored_chat_template(self.folder) or None

    def added_tokens(self) -> list[AddedToken]:
        """The added tokens of tokenizer.json, or else of the files beside tokenizer.model.

        Raises MergeError for a token that takes blanks or parts of words into account, which
        llama.cpp does not.
        """
        listed = self.tokenizer.get("added_tokens")
        if listed is None:
            return self._tokens_beside_sentencepiece()
        return [_added_token(entry, int(entry["id"])) for entry in listed]

    def _tokens_beside_sentencepiece(self) -> list[AddedToken]:
        tokens = {
            int(number): AddedToken(int(number), text, special=False)
            for text, number in read_json(self.folder / "added_tokens.json").items()
        }
        for number, entry in self.settings.get("added_tokens_decoder", {}).items():
            tokens[int(number)] = _added_token(entry, int(number))
        return list(tokens.values())


def _added_token(entry: Mapping[str, Any], number: int) -> AddedToken:
    text = str(entry["content"])
    flags = [flag for flag in ("lstrip", "rstrip", "single_word") if entry.get(flag)]
    if flags:
        raise MergeError(
            f"this merge cannot be written as GGUF: its token `{text}` is matched with {flags[0]}, "
            "which llama.cpp does not do",
            hint="merge without --gguf",
        )
    return AddedToken(number, text, bool(entry.get("special")))
