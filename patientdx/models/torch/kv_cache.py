"""Keys and values of a batch whose rows come and go.

transformers' own growing cache copies everything for every token. This one keeps room ahead, and
lets rows be taken out and put in. Rows end at the same column, and begin at different ones.
"""

from collections.abc import Sequence
from typing import Any

_AHEAD = 128  # columns


def growing_cache() -> Any:
    """An empty cache for `model.forward`."""
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_layer_class())


def keep_rows(cache: Any, rows: Any, columns: int) -> None:
    """Keeps the rows of an index tensor, and of them the last `columns`."""
    for layer in cache.layers:
        layer.keys = layer.keys[rows][:, :, layer.keys.shape[2] - columns :]
        layer.values = layer.values[rows][:, :, layer.values.shape[2] - columns :]


def add_rows(cache: Any, other: Any) -> None:
    """Puts the rows of another cache below those of a cache, right-aligned."""
    from torch import cat

    if not cache.layers:
        cache.layers = other.layers
        return
    width = max(cache.get_seq_length(), other.get_seq_length())
    for one, more in zip(cache.layers, other.layers, strict=True):
        one.keys = cat([_widened(one.keys, width), _widened(more.keys, width)])
        one.values = cat([_widened(one.values, width), _widened(more.values, width)])


def stacked(caches: Sequence[Any]) -> Any:
    """The rows of several caches in one, left-aligned; the first cache becomes it."""
    from torch import cat

    whole, width = caches[0], max(one.get_seq_length() for one in caches)
    for layers in zip(*(one.layers for one in caches), strict=True):
        layers[0].keys = cat([_filled(one.keys, width) for one in layers])
        layers[0].values = cat([_filled(one.values, width) for one in layers])
    return whole


def _filled(states: Any, width: int) -> Any:
    from torch.nn.functional import pad

    return pad(states, (0, 0, 0, width - states.shape[2]))


def _widened(states: Any, width: int) -> Any:
    from torch.nn.functional import pad

    missing = width - states.shape[2]
    return pad(states, (0, 0, missing, 0)) if missing else states


def _layer_class() -> type:
    """A layer of the cache; made here because torch must not be imported before it is needed."""
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """`keys` and `values` are the filled part of the wider tensors in `rooms`."""

        rooms: tuple[Any, Any] = (None, None)

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            """Adds columns; returns all columns."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            keys, values = self.rooms
            self.rooms = (
                _room(keys, self.keys, key_states),
                _room(values, self.values, value_states),
            )
            total = self.keys.shape[2] + key_states.shape[2]
            self.keys, self.values = (room[:, :, :total] for room in self.rooms)
            return self.keys, self.values

    return GrowingLayer


def _room(room: Any, filled: Any, new: Any) -> Any:
    """The tensor that holds the filled columns, then the new ones, then room for more."""
    width, total = filled.shape[2], filled.shape[2] + new.shape[2]
    inside = room is not None and filled.data_ptr() == room.data_ptr()
    if not inside or room.shape[:2] != filled.shape[:2] or room.shape[2] < total:
        room = new.new_empty((*new.shape[:2], total + _AHEAD, new.shape[3]))
        room[:, :, :width] = filled
    room[:, :, width:total] = new
    return room
