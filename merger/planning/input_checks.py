"""Checks before any byte is written: whether models can be merged, and what they share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merger.checkpoints.config_comparison import compare_configs
from merger.checkpoints.values import FLOATS
from merger.families.tensors import skipped_tensors
from merger.families.vocabulary_size import set_vocabulary_size
from merger.vocabulary.reading import read_vocabulary
from merger.vocabulary.rows import choose_rows, compare_vocabularies
from merger.vocabulary.special_tokens import drop_ids_without_row
from patientdx.errors import MergeError

from .input_guards import guard_inputs

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint
    from merger.checkpoints.headers import TensorInfo

VOCABULARY_TENSOR = re.compile(
    r"(?:^|\.)(?:embed_tokens|lm_head|wte|embed_in|embed_out|word_embeddings|embeddings|shared)"
    r"\.(?:weight|bias)$"
)
"""Matches the names of tensors that have one row per token."""


@dataclass(frozen=True)
class Agreement:
    """What the inputs of a merge have in common.

    `names` are the tensors to merge, in the base's order. `rows` is the vocabulary size of the
    merge (0 if there are no tensors with a row per token), `input_rows` that of each input.
    """

    names: tuple[str, ...]
    rows: int
    remarks: tuple[str, ...]
    input_rows: tuple[int, ...] = ()

    def shape(self, name: str, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape that a tensor of the base gets in the merge."""
        if self.rows and VOCABULARY_TENSOR.search(name):
            return (self.rows, *shape[1:])
        return tuple(shape)


def check_inputs(
    inputs: Sequence["Checkpoint"], names: Sequence[str], base: int, *, unsound: bool = False
) -> Agreement:
    """What the inputs have in common. Raises MergeError if they cannot be merged.

    `names` are the names of the inputs in messages, `base` is the index of the base. `unsound`
    allows models whose weights do not mean the same thing.
    """
    remarks = guard_inputs(inputs, names)
    configs = [checkpoint.config for checkpoint in inputs]
    remarks += compare_configs(names, configs, base, unsound=unsound)
    buffers = [skipped_tensors(model.config, model.tensors) for model in inputs]
    remarks += _report_buffers(buffers)
    tensors = [
        [name for name in model.tensors if name not in skipped]
        for model, skipped in zip(inputs, buffers, strict=True)
    ]
    _check_names(tensors, names, base)
    merged = tuple(tensors[base])
    rows = _check_shapes(inputs, merged, names, base)
    vocabularies = [read_vocabulary(checkpoint.folder, checkpoint.config) for checkpoint in inputs]
    if len(rows) < len(inputs):
        remarks += compare_vocabularies(names, None, vocabularies, base)
        return Agreement(merged, 0, tuple(remarks))
    chosen = choose_rows(names, rows, vocabularies, base)
    return Agreement(merged, chosen.rows, (*remarks, *chosen.remarks), tuple(rows))


def output_config(
    config: Mapping[str, Any], agreement: Agreement, dtype: str | None
) -> dict[str, Any]:
    """The config.json of a merge: the base's, with the vocabulary size and dtype of the merge.

    `dtype` is torch's name of it; None keeps the base's.
    """
    merged = dict(config)
    if agreement.rows:
        merged = drop_ids_without_row(merged, agreement.rows)
        merged = set_vocabulary_size(merged, agreement.rows)
    return set_dtype(merged, dtype)


def set_dtype(config: Mapping[str, Any], dtype: str | None) -> dict[str, Any]:
    """A configuration with another dtype, as torch names it; None keeps its own."""
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    return {**config, key: dtype} if dtype else dict(config)


def _report_buffers(buffers: Sequence[frozenset[str]]) -> list[str]:
    """One remark on the tensors of all inputs that are computed on loading."""
    distinct = frozenset().union(*buffers)
    if not distinct:
        return []
    remark = (
        f"{len(distinct):,} tensors that models compute when they are loaded, such as "
        f"{min(distinct)}, are left out"
    )
    return [remark]


def _check_names(tensors: Sequence[Sequence[str]], names: Sequence[str], base: int) -> None:
    """Raises MergeError unless all inputs have the tensors of the base and no others."""
    expected = set(tensors[base])
    for i, own in enumerate(tensors):
        for lacking, having, missing in (
            (names[i], names[base], sorted(expected - set(own))),
            (names[base], names[i], sorted(set(own) - expected)),
        ):
            if missing:
                raise MergeError(
                    f"{lacking} lacks {len(missing):,} tensors of {having}, the first is "
                    f"{missing[0]}",
                    hint="only models of one architecture and size can be merged",
                )


def _check_shapes(
    inputs: Sequence["Checkpoint"], merged: Sequence[str], names: Sequence[str], base: int
) -> list[int]:
    """The vocabulary rows of each input. Raises MergeError for shapes and dtypes that differ."""
    rows: dict[int, int] = {}
    for tensor in merged:
        has_vocabulary = bool(VOCABULARY_TENSOR.search(tensor))
        for i, checkpoint in enumerate(inputs):
            info = checkpoint.tensors[tensor]
            _compare_tensors(inputs[base].tensors[tensor], info, (names[base], names[i]))
            if has_vocabulary and rows.setdefault(i, info.shape[0]) != info.shape[0]:
                raise MergeError(
                    f"embeddings and output layer of {names[i]} have different numbers of rows",
                    hint="this input is broken: fetch it again",
                )
    return [rows[i] for i in sorted(rows)]


def _compare_tensors(expected: "TensorInfo", info: "TensorInfo", names: tuple[str, str]) -> None:
    """Raises MergeError for shapes, except for vocabulary rows, or dtypes that do not go together.

    `names` are those of the base and of the other input.
    """
    skipped = 1 if VOCABULARY_TENSOR.search(info.name) else 0
    if tuple(expected.shape[skipped:]) != tuple(info.shape[skipped:]):
        raise MergeError(
            f"{info.name} has the shape {list(expected.shape)} in {names[0]}, and "
            f"{list(info.shape)} in {names[1]}",
            hint="only models of one architecture and size can be merged",
        )
    if info.dtype != expected.dtype and not {info.dtype, expected.dtype} <= set(FLOATS):
        raise MergeError(
            f"{info.name} is {expected.dtype} in {names[0]}, and {info.dtype} in {names[1]}",
            hint="convert the weights to one dtype first",
        )
