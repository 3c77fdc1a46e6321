"""The files beside the weights that a merge takes from its base: tokenizer, generation, images."""

from fnmatch import fnmatch
from pathlib import Path

from patientdx.errors import MergeError

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "vocab.txt"),
    *("chat_template.jinja", "chat_template.json", "tekken.json", "tiktoken.model"),
    *("spiece.model", "spm.model", "sentencepiece.model", "sentencepiece.bpe.model"),
    *("source.spm", "target.spm", "spm_char.model", "prophetnet.tokenizer"),
)
"""Names of the files of tokenizers; Qwen's first ones are called `*.tiktoken`."""

GENERATION_CONFIG = "generation_config.json"
_TIKTOKEN = "*.tiktoken"
_PROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
# Merges of before these files were copied hold a tokenizer.json in their place, or none of them.
_COPIED_LATER = ("tekken.json", _TIKTOKEN, "*.model", "*.spm", *_PROCESSORS)
_LARGEST = 1 << 28  # bytes


def read_companion_files(folder: Path) -> dict[str, bytes]:
    """Contents of these files by name, as far as they exist. Raises MergeError if unreadable."""
    paths = [folder / name for name in (GENERATION_CONFIG, *_PROCESSORS)]
    return read_tokenizer_files(folder) | {
        path.name: _read(path) for path in paths if path.is_file()
    }


def is_optional(name: str) -> bool:
    """Whether a merge of an earlier version may lack a file that a new one copies from the base."""
    return name != "tokenizer.model" and any(fnmatch(name, form) for form in _COPIED_LATER)


def read_tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Contents of the tokenizer files of a folder by name. Raises MergeError if unreadable."""
    paths = [*(folder / name for name in TOKENIZER_FILES), *sorted(folder.glob(_TIKTOKEN))]
    return {path.name: _read(path) for path in paths if path.is_file()}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise MergeError(
                f"{path}: too large for a file beside weights", hint="fetch the model again"
            )
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MergeError(f"{path}: cannot be read: {reason}", hint="check the base") from error
