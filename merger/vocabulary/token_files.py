"""Reads the files of a tokenizer, within bounds: they may be damaged, foreign or hostile."""

import json
from pathlib import Path
from typing import Any

from .token_table import damaged

_LARGEST = 1 << 28  # bytes; the largest of public models has 35 MB


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises MergeError if it cannot be read or is too large."""
    try:
        if path.stat().st_size > _LARGEST:
            raise damaged(path, "too large for a tokenizer")
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or 'no access'}") from None


def read_text(path: Path) -> str:
    """The content of a text file. Raises MergeError."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged(path, "cannot be read: not UTF-8 text") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file. Raises MergeError."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise damaged(path, "cannot be read: not JSON") from None
    if not isinstance(content, dict):
        raise damaged(path, "is not a JSON object")
    return content
