"""The layout of a model's tensors on disk: stacks of layers, what is before and after them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .family import KeyPath
from .layers import ModelStack, layer_stacks
from .table import find_family
from .tensors import (
    embedding_tensors,
    head_tensors,
    skipped_tensors,
    tied_copies,
    ties_embeddings,
    unread_tensors,
)

BEFORE_LAYERS = re.compile(r"embed(?!_out)|\bwte\b|\bwpe\b|\bshared\b")
"""Matches the names of tensors outside of layers that are used before them."""


@dataclass(frozen=True)
class StackLayout:
    """A stack of layers: the ends of its tensors' names, by layer.

    `count` is the key of their number in config.json.
    """

    prefix: str
    count: KeyPath
    layers: tuple[tuple[str, ...], ...]

    def names(self, layer: int) -> tuple[str, ...]:
        """The tensors of a layer."""
        return tuple(f"{self.prefix}.{layer}.{end}" for end in self.layers[layer])


@dataclass(frozen=True)
class TensorLayout:
    """The tensors of a model that a merge has to have, by their places.

    `unread` are layers after the last one, which predict further tokens; they are there only while
    the layers stay in place. `vocabulary` are tensors with a row per token, `tied` has for the head
    the names of the embeddings that stand in for it.
    """

    stacks: tuple[StackLayout, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    unread: tuple[str, ...]
    vocabulary: frozenset[str]
    tied: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors."""
        layers = [
            name
            for stack in self.stacks
            for layer in range(len(stack.layers))
            for name in stack.names(layer)
        ]
        return (*self.before, *layers, *self.after, *self.unread)


def read_layout(
    config: Mapping[str, Any], tensors: Iterable[str], merged: Collection[str] | None = None
) -> TensorLayout:
    """The layout of a model with these tensors; `merged` are those that a merge takes.

    Without `merged` they are all but buffers and the copies of tied embeddings.
    """
    names = list(tensors)
    taken = frozenset(names) - skipped_tensors(config, names) if merged is None else set(merged)
    if merged is None and ties_embeddings(config, names):
        taken -= tied_copies(config, names)
    wanted = [name for name in names if name in taken]
    unread = unread_tensors(config, wanted)
    stacks = layer_stacks(config, wanted)
    layouts = tuple(_stack_layout(stack, wanted, unread) for stack in stacks)
    inside = {
        name for layout in layouts for n in range(len(layout.layers)) for name in layout.names(n)
    }
    outside = [name for name in wanted if name not in inside and name not in unread]
    head = head_tensors(config, names)
    vocabulary = embedding_tensors(config, names) | head
    biases = {name.removesuffix("weight") + "bias" for name in head}
    return TensorLayout(
        layouts,
        tuple(name for name in outside if BEFORE_LAYERS.search(name)),
        tuple(name for name in outside if not BEFORE_LAYERS.search(name)),
        tuple(name for name in wanted if name in unread),
        vocabulary | (biases & set(wanted)),
        _stand_ins(config, head),
    )


def _stack_layout(stack: ModelStack, names: list[str], unread: Collection[str]) -> StackLayout:
    """The ends of names by layer; layers that config.json does not count are empty of them."""
    ends: list[list[str]] = [[] for _ in range(stack.length)]
    start = f"{stack.prefix}."
    for name in names:
        if name.startswith(start) and name not in unread:
            number, _, end = name.removeprefix(start).partition(".")
            if number.isdigit() and int(number) < stack.length:
                ends[int(number)].append(end)
    return StackLayout(stack.prefix, stack.count, tuple(map(tuple, ends)))


def _stand_ins(config: Mapping[str, Any], head: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The embeddings that a head is a copy of where the model ties."""
    tied = find_family(config).tied
    usual = ("model.embed_tokens.weight",)
    return {name: (tied[name],) if name in tied else usual for name in head}
