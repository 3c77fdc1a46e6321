"""The guards before any byte is written: whether models can be merged, and into what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merger.checkpoints.config_comparison import compare_configs, is_tied
from merger.checkpoints.vocabulary import choose_rows, read_vocabulary
from patientdx.errors import MergeError

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint

VOCABULARY_TENSOR = re.compile(
    r"(?:^|\.)(?:embed_tokens|lm_head|wte|embed_in|embed_out|word_embeddings)\."
)
"""Tensors that have a row for each token."""

# Computed from the configuration when a model is loaded; some old checkpoints hold them.
_DERIVED = re.compile(r"(?:rotary_emb\.inv_freq|attn\.masked_bias)$")
_OUTPUT = "lm_head.weight"
_FLOATS = ("F16", "BF16", "F32", "F64")


@dataclass(frozen=True)
class Agreement:
    """What the inputs of a merge have in common.

    `names` are the tensors to merge, in the base's order; `rows` those that tensors with a row a
    token get (0 where there are none), `input_rows` those of each input. `tied` is None where some
    inputs tie their output layer to their embeddings and some do not.
    """

    names: tuple[str, ...]
    rows: int
    tied: bool | None
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
    """What the inputs agree in. Raises MergeError for the first thing that forbids a merge."""
    configs = [one.config for one in inputs]
    for name, config in zip(names, configs, strict=True):
        if config.get("quantization_config"):
            raise MergeError(
                f"the weights of {name} are quantised", hint="merge the models it was made from"
            )
    remarks = compare_configs(names, configs, base, unsound=unsound)
    ties = {is_tied(one.config, frozenset(one.tensors)) for one in inputs}
    tied = ties.pop() if len(ties) == 1 else None
    kept = [_merged_names(one, tied=tied) for one in inputs]
    if tied is not None:
        _check_names(kept, names, base)
    else:
        common = {name for each in kept for name in each} - {_OUTPUT}
        _check_names([[n for n in each if n in common] for each in kept], names, base)
    rows = _check_shapes(inputs, kept[base], names, base)
    if len(rows) == len(inputs):
        words = [read_vocabulary(one.folder, one.config) for one in inputs]
        chosen = choose_rows(names, rows, words, base)
        said = (*remarks, *chosen.remarks)
        return Agreement(tuple(kept[base]), chosen.rows, tied, said, tuple(rows))
    return Agreement(tuple(kept[base]), 0, tied, tuple(remarks))


def output_config(
    config: Mapping[str, Any], agreement: Agreement, dtype: str | None
) -> dict[str, Any]:
    """The config.json of a merge: the base's, with its true vocabulary and dtype.

    `dtype` is torch's name of it; None leaves the base's.
    """
    made = dict(config)
    if agreement.rows:
        made["vocab_size"] = agreement.rows
        if isinstance(made.get("pad_token_id"), int) and made["pad_token_id"] >= agreement.rows:
            made["pad_token_id"] = None  # transformers refuses a padding row that is not there
    if dtype:
        made["torch_dtype" if "torch_dtype" in made else "dtype"] = dtype
    if agreement.tied is None:
        made["tie_word_embeddings"] = False
    return made


def _merged_names(checkpoint: "Checkpoint", *, tied: bool | None) -> list[str]:
    """The tensors of an input that count: none that are derived, no copy of tied embeddings."""
    return [
        name
        for name in checkpoint.tensors
        if not _DERIVED.search(name) and not (tied and name == _OUTPUT)
    ]


def _check_names(kept: Sequence[Sequence[str]], names: Sequence[str], base: int) -> None:
    own = set(kept[base])
    for at, each in enumerate(kept):
        for lacking, having, missing in (
            (names[at], names[base], sorted(own - set(each))),
            (names[base], names[at], sorted(set(each) - own)),
        ):
            if missing:
                raise MergeError(
                    f"{lacking} lacks {len(missing):,} tensors of {having}, the first is "
                    f"{missing[0]}",
                    hint="only models of one architecture and size can be merged",
                )


def _check_shapes(
    inputs: Sequence["Checkpoint"], kept: Sequence[str], names: Sequence[str], base: int
) -> list[int]:
    """The vocabulary rows of each input. Raises MergeError for shapes and dtypes that differ."""
    rows: dict[int, int] = {}
    for name in kept:
        mine = inputs[base].tensors[name]
        wordly = bool(VOCABULARY_TENSOR.search(name))
        for at, one in enumerate(inputs):
            its = one.tensors.get(name)
            if its is None:  # an output layer, tied in this input
                continue
            skip = 1 if wordly else 0
            if tuple(mine.shape[skip:]) != tuple(its.shape[skip:]):
                raise MergeError(
                    f"{name} has the shape {list(mine.shape)} in {names[base]}, and "
                    f"{list(its.shape)} in {names[at]}",
                    hint="only models of one architecture and size can be merged",
                )
            if its.dtype != mine.dtype and not {its.dtype, mine.dtype} <= set(_FLOATS):
                raise MergeError(
                    f"{name} is {mine.dtype} in {names[base]}, and {its.dtype} in {names[at]}",
                    hint="convert the weights to one dtype first",
                )
            if wordly and rows.setdefault(at, its.shape[0]) != its.shape[0]:
                raise MergeError(
                    f"embeddings and output layer of {names[at]} have different numbers of rows",
                    hint="this input is broken: fetch it again",
                )
    return [rows[at] for at in sorted(rows)]
