"""The facts of a family: where its layers are, what ties its head, what is not loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

KeyPath = tuple[str, ...]
"""The place of a key in config.json, such as ("text_config", "num_hidden_layers")."""

# Computed on loading by every family; releases before 4.32 saved them with the weights.
_OLD_BUFFERS = (r"rotary_emb\.inv_freq", r"att(?:entio)?n\.masked_bias")


@dataclass(frozen=True)
class LayerStack:
    """Numbered modules `{prefix}.0`, `{prefix}.1` ..., as many as config.json says at `count`."""

    prefix: str
    count: KeyPath


def _no_keys() -> Mapping[KeyPath, KeyPath]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Family:
    """A type of models.

    `classes` are those of its classes that generate text; names of tensors are those on disk.
    `stacks` has an entry for each spelling of a prefix that transformers reads. `tied` has the
    tensors that are copies, with the tensor that they are a copy of, where the model ties; whether
    it does where config.json is silent is `ties_by_default`. `skipped` are patterns of tensors that
    are computed on loading: masks, rotary frequencies, position ids; they are never needed in a
    file. `unread` are patterns of weights that transformers does not read, though other programs
    do (layers that predict further tokens). `per_layer_lists` are the keys of lists with one entry
    per layer, `layer_indices` of lists that name layers by number, both with the key of the count.
    `default_counts` are the counts where config.json is silent, `spellings` other names of keys.
    """

    model_type: str
    classes: tuple[str, ...] = ()
    stacks: tuple[LayerStack, ...] = ()
    embeddings: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ties_by_default: bool = False
    skipped: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    per_layer_lists: Mapping[KeyPath, KeyPath] = field(default_factory=_no_keys)
    layer_indices: Mapping[KeyPath, KeyPath] = field(default_factory=_no_keys)
    default_counts: Mapping[KeyPath, int] = field(default_factory=lambda: MappingProxyType({}))
    spellings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: bool = True

    @cached_property
    def _skipped(self) -> re.Pattern[str]:
        patterns = "|".join((*self.skipped, *_OLD_BUFFERS))
        return re.compile(rf"(?:^|\.)(?:{patterns})$")

    @cached_property
    def _unread(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(pattern) for pattern in self.unread)

    def skips(self, name: str) -> bool:
        """Whether a tensor is a buffer that is computed on loading."""
        return bool(self._skipped.search(name))

    def leaves_unread(self, name: str) -> bool:
        """Whether a tensor is a weight that transformers does not read."""
        return any(pattern.search(name) for pattern in self._unread)
