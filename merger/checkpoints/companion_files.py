"""The files beside the weights that a merge takes from its base: tokenizer and generation."""

from pathlib import Path

from patientdx.errors import MergeError

_NAMES = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "vocab.txt"),
    *("chat_template.jinja", "chat_template.json", "generation_config.json"),
)
_LARGEST = 1 << 28  # bytes


def read_companion_files(base: Path) -> dict[str, bytes]:
    """Contents of these files by name, as far as they exist. Raises MergeError if unreadable."""
    files: dict[str, bytes] = {}
    for name in _NAMES:
        path = base / name
        if not path.is_file():
            continue
        try:
            if path.stat().st_size <= _LARGEST:
                files[name] = path.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MergeError(f"{path}: cannot be read: {reason}", hint="check the base") from error
    return files
