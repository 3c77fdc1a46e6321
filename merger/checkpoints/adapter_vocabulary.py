"""The vocabulary of a model with a LoRA adapter: its rows, its tokenizer, its configuration.

The tokenizer is that of the base, or the adapter's own if the adapter saves embeddings or output
layer whole: only then has it trained rows for tokens of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merger.families.vocabulary_size import set_vocabulary_size, vocabulary_size
from patientdx.errors import MergeError

from .checkpoint import Checkpoint
from .companion_files import read_companion_files, read_tokenizer_files

Shapes = Mapping[str, tuple[int, ...]]


def resized_rows(base: Checkpoint, adapter: Path, whole: Shapes) -> int | None:
    """The vocabulary rows of an adapter that changes their number; None if it does not.

    `whole` has the shapes of the weights that the adapter saves whole. Raises MergeError for rows
    that no tokenizer names.
    """
    rows = {
        shape[0]
        for name, shape in whole.items()
        if has_vocabulary_rows(base, name) and shape != base.tensors[name].shape
    }
    if not rows:
        return None
    if len(rows) > 1 or not read_tokenizer_files(adapter):
        problem = "to different numbers" if len(rows) > 1 else "and has no tokenizer"
        raise MergeError(
            f"{adapter}: changes the vocabulary rows of {base.folder} {problem}",
            hint="save the tokenizer of the training beside the adapter",
        )
    return rows.pop()


def has_vocabulary_rows(base: Checkpoint, name: str) -> bool:
    """Whether a weight of the base has a row for each token."""
    info = base.tensors.get(name)
    return info is not None and info.shape[:1] == (vocabulary_size(base.config),)


def adapted_config(config: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
    """The configuration of the base with another number of vocabulary rows, unless None."""
    return dict(config) if rows is None else set_vocabulary_size(config, rows)


def adapted_companion_files(base: Checkpoint, adapter: Path, whole: Shapes) -> dict[str, bytes]:
    """Tokenizer and generation files of the base with its adapter. Raises MergeError."""
    files = read_companion_files(base.folder)
    saves_rows = any(has_vocabulary_rows(base, name) for name in whole)
    own = read_tokenizer_files(adapter) if saves_rows else {}
    if not own:
        return files
    replaced = read_tokenizer_files(base.folder)
    return own | {name: content for name, content in files.items() if name not in replaced}
