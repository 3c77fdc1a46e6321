"""Special and added tokens: those that files give ids, and the ids that configurations name."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .token_files import read_json
from .token_table import TokenTable, damaged, index_tokens

TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
NAMES = ("bos", "eos", "pad")
"""The special tokens whose ids `config.json` and `generation_config.json` have."""

_ADDED_TOKENS = "added_tokens.json"
_TOKENS_MAP = "special_tokens_map.json"
_ROLES = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_EXTRA = ("extra_special_tokens", "additional_special_tokens")


def read_added_tokens(folder: Path) -> list[TokenTable]:
    """The tokens that were added to a vocabulary, by file. Raises MergeError."""
    path = folder / _ADDED_TOKENS
    pairs = ((number, token) for token, number in read_json(path).items())
    tables = [TokenTable(_ADDED_TOKENS, index_tokens(path, pairs))]
    path = folder / TOKENIZER_CONFIG
    decoder = read_json(path).get("added_tokens_decoder")
    if decoder is not None:
        tables.append(TokenTable(TOKENIZER_CONFIG, index_tokens(path, _decoded(path, decoder))))
    return [table for table in tables if table.tokens]


def read_special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens by their role (`pad_token` ...), as transformers reads them.

    Raises MergeError.
    """
    config = read_json(folder / TOKENIZER_CONFIG)
    if "added_tokens_decoder" not in config:  # otherwise transformers passes over this file
        config |= read_json(folder / _TOKENS_MAP)
    roles = (
        *_ROLES,
        *(
            key
            for key, entry in config.items()
            if key.endswith("_token") and isinstance(entry, str)
        ),
    )  # such as `image_token`
    tokens = {role: token for role in roles if (token := _text(config.get(role)))}
    for key in _EXTRA:
        extra = config.get(key)
        if isinstance(extra, dict):
            tokens |= {str(role): token for role, entry in extra.items() if (token := _text(entry))}
        elif isinstance(extra, list):
            tokens |= {
                f"{key}[{n}]": token for n, entry in enumerate(extra) if (token := _text(entry))
            }
    return tokens


def special_ids(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The ids of special tokens in a configuration by key, also in its part for text."""
    ids: dict[str, tuple[int, ...]] = {}
    text = config.get("text_config")
    for part in (text if isinstance(text, Mapping) else {}, config):
        for key in (f"{name}_token_id" for name in NAMES):
            value = part.get(key)
            entries = value if isinstance(value, list) else [value]
            numbers = tuple(n for n in entries if isinstance(n, int) and n >= 0)
            if numbers:
                ids[key] = (*ids.get(key, ()), *numbers)
    return ids


def drop_ids_without_row(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """A configuration without the ids of special tokens that have no vocabulary row.

    A single id becomes None; transformers refuses a padding id without a row.
    """
    changed = dict(config)
    for key in (f"{name}_token_id" for name in NAMES):
        value = config.get(key)
        if isinstance(value, list):
            changed[key] = [n for n in value if not isinstance(n, int) or n < rows] or None
        elif isinstance(value, int) and value >= rows:
            changed[key] = None
    if isinstance(config.get("text_config"), Mapping):
        changed["text_config"] = drop_ids_without_row(config["text_config"], rows)
    return changed


def drop_generation_ids(content: bytes, rows: int) -> bytes:
    """A generation_config.json without such ids; the same bytes if it has none."""
    try:
        config = json.loads(content)
    except ValueError:
        return content
    if not isinstance(config, dict) or drop_ids_without_row(config, rows) == config:
        return content
    return (json.dumps(drop_ids_without_row(config, rows), indent=2) + "\n").encode()


def _decoded(path: Path, decoder: Any) -> Iterator[tuple[object, object]]:
    if not isinstance(decoder, dict):
        raise damaged(path, "its added tokens are no object")
    for number, entry in decoder.items():
        if not number.isascii() or not number.isdigit() or len(number) > 12:
            raise damaged(path, f"`{number[:20]}` is not the id of a token")
        yield int(number), entry.get("content") if isinstance(entry, dict) else entry


def _text(entry: Any) -> str | None:
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) and entry else None
