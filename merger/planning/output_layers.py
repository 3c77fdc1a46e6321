"""Brings the output layers of inputs into one form: all tied to the embeddings, or all apart.

A model that ties has no output layer in its file, or a copy of its embeddings, which says nothing
more. Beside a model whose output layer is its own, the embeddings of a tied one stand in for it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from merger.checkpoints.checkpoint import Checkpoint
from merger.families.table import find_family
from merger.families.tensors import (
    embedding_tensors,
    head_tensors,
    tied_copies,
    ties_embeddings,
    untie_embeddings,
)
from patientdx.errors import MergeError

_PART = 1 << 26  # bytes that are compared at a time


class AlignedInputs(NamedTuple):
    """Inputs whose output layers go together, and remarks on how."""

    inputs: tuple[Checkpoint, ...]
    remarks: tuple[str, ...]


def align_output_layers(inputs: Sequence[Checkpoint], names: Sequence[str]) -> AlignedInputs:
    """The inputs without copies of tied embeddings, and with an output layer each if one has it.

    `names` are the names of the inputs in messages. Raises MergeError if a model has an output
    layer of its own by its configuration, and no tensors of it.
    """
    remarks: list[str] = []
    aligned: list[Checkpoint] = []
    tied: list[bool] = []
    for checkpoint, name in zip(inputs, names, strict=True):
        own, ties = _without_copies(checkpoint)
        if not ties and ties_embeddings(checkpoint.config, checkpoint.tensors):
            own = replace(own, config=untie_embeddings(own.config))
            remarks.append(
                f"the output layer of {name} is not its embeddings, though its configuration ties "
                "them: it counts as one of its own, as transformers loads it"
            )
        aligned.append(own)
        tied.append(ties)
    if len(set(tied)) == 1:
        return AlignedInputs(tuple(aligned), tuple(remarks))
    apart = tied.index(False)
    heads = head_tensors(aligned[apart].config, aligned[apart].tensors)
    if not heads:
        raise MergeError(
            f"{names[apart]} has no output layer in its file, and does not tie it to its "
            f"embeddings as {names[tied.index(True)]} does",
            hint="this input is broken or has another head: fetch it again, or merge another one",
        )
    made = [
        _with_head(model, min(heads)) if ties else model
        for model, ties in zip(aligned, tied, strict=True)
    ]
    remarks.append(
        f"{names[tied.index(True)]} ties its output layer to its embeddings and {names[apart]} "
        "does not: the merge has one of its own, made of these embeddings"
    )
    return AlignedInputs(tuple(made), tuple(remarks))


def _without_copies(checkpoint: Checkpoint) -> tuple[Checkpoint, bool]:
    """A model without the copies of its embeddings, and whether it ties its output layer.

    As in transformers, an output layer that differs from the embeddings is not tied, and one that
    is there alone stands in for the embeddings.
    """
    tensors = dict(checkpoint.tensors)
    heads = head_tensors(checkpoint.config, tensors)
    ties = ties_embeddings(checkpoint.config, tensors)
    for copy in sorted(tied_copies(checkpoint.config, tensors)):
        if copy in heads and not ties:
            continue
        source = _source(checkpoint, copy)
        if source in tensors:
            if _equal(checkpoint, copy, source):
                del tensors[copy]
            else:
                ties = ties and copy not in heads
        elif copy in heads and source:
            tensors[source] = tensors.pop(copy)._replace(name=source)
    return replace(checkpoint, tensors=tensors), ties


def _source(checkpoint: Checkpoint, copy: str) -> str:
    """The tensor that a tied one is a copy of; "" if there is none."""
    names = frozenset(checkpoint.tensors)
    listed = find_family(checkpoint.config).tied.get(copy, "")
    bare = listed.partition(".")[2]
    embeddings = embedding_tensors(checkpoint.config, names) - {copy}
    return next((name for name in (listed, bare, *sorted(embeddings)) if name in names), listed)


def _equal(checkpoint: Checkpoint, copy: str, source: str) -> bool:
    """Whether two tensors hold the same bytes."""
    a, b = (checkpoint.tensors[name] for name in (copy, source))
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    ours, theirs = (checkpoint.values(name).data for name in (copy, source))
    return all(
        np.array_equal(ours[start : start + _PART], theirs[start : start + _PART])
        for start in range(0, len(ours), _PART)
    )


def _with_head(checkpoint: Checkpoint, head: str) -> Checkpoint:
    """A tied model whose output layer is a tensor of its own, at the place of the embeddings."""
    embeddings = checkpoint.tensors[_embeddings(checkpoint)]
    tensors = {**checkpoint.tensors, head: embeddings._replace(name=head)}
    return replace(checkpoint, tensors=tensors, config=untie_embeddings(checkpoint.config))


def _embeddings(checkpoint: Checkpoint) -> str:
    listed = set(find_family(checkpoint.config).tied.values()) & set(checkpoint.tensors)
    names = listed or embedding_tensors(checkpoint.config, checkpoint.tensors)
    return min(names)
