"""The layout of the output: files, headers and offsets, known before any tensor is read."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from merger.checkpoints.checkpoint import INDEX, SINGLE
from merger.checkpoints.headers import Slot, compose_header
from merger.checkpoints.values import SIZES

SHARD_SIZE = 5_000_000_000  # bytes, as in MergeKit
_METADATA = {"format": "pt"}


class Shard(NamedTuple):
    """A file of the output: its header, the offsets of its tensors by name, and its size."""

    name: str
    header: bytes
    offsets: Mapping[str, int]
    size: int


def lay_out(slots: Sequence[Slot], shard_size: int = SHARD_SIZE) -> list[Shard]:
    """The files of the output; a tensor larger than `shard_size` bytes gets its own file."""
    groups: list[list[Slot]] = [[]]
    filled = 0
    for slot in slots:
        if groups[-1] and filled + slot.nbytes > shard_size:
            groups.append([])
            filled = 0
        groups[-1].append(slot)
        filled += slot.nbytes
    if len(groups) == 1:
        return [_shard(SINGLE, groups[0])]
    return [
        _shard(f"model-{n:05d}-of-{len(groups):05d}.safetensors", group)
        for n, group in enumerate(groups, 1)
    ]


def compose_index(shards: Sequence[Shard]) -> dict[str, bytes]:
    """The index file that names the shard of each tensor, by its name; none for a single shard."""
    if len(shards) == 1:
        return {}
    weight_map = {name: shard.name for shard in shards for name in shard.offsets}
    total = sum(shard.size - len(shard.header) for shard in shards)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return {INDEX: (json.dumps(index, indent=2) + "\n").encode()}


def _shard(name: str, slots: Sequence[Slot]) -> Shard:
    # With the widest numbers first, all of them are aligned.
    ordered = sorted(slots, key=lambda slot: -SIZES[slot.dtype])
    header, offsets = compose_header(ordered, _METADATA)
    size = len(header) + sum(slot.nbytes for slot in ordered)
    places = {slot.name: offset for slot, offset in zip(ordered, offsets, strict=True)}
    return Shard(name, header, places, size)
