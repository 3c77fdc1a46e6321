"""Checks of the tokenizers of a merge whose vocabulary, layers or template the recipe sets."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merger.recipes.recipe import MergeRecipe
from merger.vocabulary.chat_templates import read_chat_template, resolve_chat_template
from merger.vocabulary.reading import Vocabulary, read_vocabulary
from merger.vocabulary.rows import compare_vocabularies
from patientdx.errors import MergeError

from .input_checks import VOCABULARY_TENSOR

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint

_FURTHER_TEMPLATES = "additional_chat_templates"

TOKENIZER_KEYS = ("tokenizer", "tokenizer_source")
"""Keys of a recipe by which MergeKit builds a tokenizer and aligns the rows with it."""


def check_tokenizers(
    recipe: MergeRecipe, inputs: Sequence["Checkpoint"], names: Sequence[str]
) -> list[str]:
    """Remarks on the tokenizers of a merge that MergeKit plans.

    Raises MergeError if the inputs have different tokens and the recipe does not align them, and
    if it does and an input has no tokenizer: MergeKit would take that of another one.
    """
    base = recipe.inputs.index(recipe.base)
    vocabularies = [read_vocabulary(checkpoint.folder, checkpoint.config) for checkpoint in inputs]
    if set(TOKENIZER_KEYS) & set(recipe.mergekit_keys):
        return _check_aligned(recipe, names, vocabularies)
    rows = [_vocabulary_rows(checkpoint) for checkpoint in inputs]
    return compare_vocabularies(names, rows if all(rows) else None, vocabularies, base)


def find_chat_template(recipe: MergeRecipe, inputs: Sequence["Checkpoint"]) -> str:
    """The text of the chat template that a recipe sets; empty if it sets none.

    Raises MergeError if it cannot be had, or if the merge has no tokenizer to hold it.
    """
    if not recipe.chat_template:
        return ""
    base = inputs[recipe.inputs.index(recipe.base)]
    builds = set(TOKENIZER_KEYS) & set(recipe.mergekit_keys)
    if not builds and not read_vocabulary(base.folder, base.config).has_files:
        raise MergeError(
            f"`chat_template` needs a tokenizer, and the base {recipe.base} has none",
            hint="copy a tokenizer into its folder, or take the key out",
        )
    return resolve_chat_template(recipe.chat_template, [checkpoint.folder for checkpoint in inputs])


def template_remarks(recipe: MergeRecipe, base: Path) -> list[str]:
    """A remark on the further chat templates of a base's folder, which a merge does not copy."""
    if not (base / _FURTHER_TEMPLATES).is_dir():
        return []
    return [f"the chat templates of {recipe.base} in {_FURTHER_TEMPLATES} are not in the merge"]


def passed_over_remarks(
    inputs: Sequence["Checkpoint"], adapters: Sequence[Path | None], names: Sequence[str]
) -> list[str]:
    """Remarks on tokens, and on chat templates, that adapters bring and that are not merged.

    A tokenizer beside an adapter counts only if the adapter has rows of its own for it.
    """
    remarks: list[str] = []
    for checkpoint, adapter, name in zip(inputs, adapters, names, strict=True):
        if adapter is None:
            continue
        with suppress(MergeError):  # a file that is not merged need not be sound
            own = set((read_vocabulary(adapter, {}).tokens or {}).values())
            merged = set((read_vocabulary(checkpoint.folder, {}).tokens or {}).values())
            if merged and own - merged:
                remarks.append(
                    f"the adapter of {name} has no rows for {len(own - merged):,} tokens of the "
                    "tokenizer beside it, which are not in the merge"
                )
            template = read_chat_template(adapter)
            if template and template != read_chat_template(checkpoint.folder):
                remarks.append(
                    f"the chat template beside the adapter of {name} is not that of its base; "
                    "`chat_template` sets one"
                )
    return remarks


def _check_aligned(
    recipe: MergeRecipe, names: Sequence[str], vocabularies: Sequence[Vocabulary]
) -> list[str]:
    """A remark on tokens of the chosen tokenizer that no input has. Raises MergeError."""
    for name, vocabulary in zip(names, vocabularies, strict=True):
        if not vocabulary.has_files:
            raise MergeError(
                f"the tokens of {name} cannot be aligned, as it has no tokenizer",
                hint="copy the tokenizer that it was trained with into its folder",
            )
    source = _tokenizer_source(recipe)
    if not isinstance(source, str) or source in {"union", "base", *map(str, recipe.inputs)}:
        return []
    if not Path(source).is_dir():
        raise MergeError(
            f"the tokenizer is to be that of {source}, which is neither an input nor a folder",
            hint="name one of the inputs, `base` or `union`",
        )
    tokens = set((read_vocabulary(Path(source), {}).tokens or {}).values())
    for vocabulary in vocabularies:
        tokens -= set((vocabulary.tokens or {}).values())
    if not tokens:
        return []
    return [f"{len(tokens):,} tokens of {source} are in no input, so their rows are zero"]


def _tokenizer_source(recipe: MergeRecipe) -> Any:
    data = recipe.to_dict()
    block = data.get("tokenizer")
    return block.get("source") if isinstance(block, dict) else data.get("tokenizer_source")


def _vocabulary_rows(checkpoint: "Checkpoint") -> int:
    """Rows of the embeddings of an input; 0 if it has none."""
    tensors = checkpoint.tensors.items()
    return next((info.shape[0] for name, info in tensors if VOCABULARY_TENSOR.search(name)), 0)
