"""A cache of keys and values for a batch whose rows come and go.

The growing cache of transformers copies everything for every token. This one allocates columns in
advance, and lets rows be removed and added. Rows end at the same column, their starts differ.
"""

from collections.abc import Sequence
from typing import Any

_SPARE_COLUMNS = 128


def growing_cache() -> Any:
    """An empty cache for `model.forward`."""
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_layer_class())


def keep_rows(cache: Any, rows: Any, columns: int) -> None:
    """Keeps the rows in an index tensor, and their last `columns` columns."""
    for layer in cache.layers:
        layer.keys = layer.keys[rows][:, :, layer.keys.shape[2] - columns :]
        layer.values = layer.values[rows][:, :, layer.values.shape[2] - columns :]


def add_rows(cache: Any, other: Any) -> None:
    """Appends the rows of another cache, aligned at the last column."""
    from torch import cat

    if not cache.layers:
        cache.layers = other.layers
        return
    width = max(cache.get_seq_length(), other.get_seq_length())
    for layer, added in zip(cache.layers, other.layers, strict=True):
        layer.keys = cat([_pad_left(layer.keys, width), _pad_left(added.keys, width)])
        layer.values = cat([_pad_left(layer.values, width), _pad_left(added.values, width)])


def stack_caches(caches: Sequence[Any]) -> Any:
    """The first cache with the rows of all, aligned at the first column."""
    from torch import cat

    width = max(cache.get_seq_length() for cache in caches)
    for layers in zip(*(cache.layers for cache in caches), strict=True):
        layers[0].keys = cat([_pad_right(layer.keys, width) for layer in layers])
        layers[0].values = cat([_pad_right(layer.values, width) for layer in layers])
    return caches[0]


def _pad_right(states: Any, width: int) -> Any:
    from torch.nn.functional import pad

    return pad(states, (0, 0, 0, width - states.shape[2]))


def _pad_left(states: Any, width: int) -> Any:
    from torch.nn.functional import pad

    missing = width - states.shape[2]
    return pad(states, (0, 0, missing, 0)) if missing else states


def _layer_class() -> type:
    """The class of a cache layer, defined here because importing torch is slow."""
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """`keys` and `values` are the filled columns of the wider tensors in `buffers`."""

        buffers: tuple[Any, Any] = (None, None)

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            """Adds columns; returns all columns."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            keys, values = self.buffers
            self.buffers = (
                _append_columns(keys, self.keys, key_states),
                _append_columns(values, self.values, value_states),
            )
            total = self.keys.shape[2] + key_states.shape[2]
            self.keys, self.values = (buffer[:, :, :total] for buffer in self.buffers)
            return self.keys, self.values

    return GrowingLayer


def _append_columns(buffer: Any, filled: Any, new: Any) -> Any:
    """A tensor of the filled columns, the new ones, and spare ones; `buffer` itself if it fits."""
    width, total = filled.shape[2], filled.shape[2] + new.shape[2]
    is_view = buffer is not None and filled.data_ptr() == buffer.data_ptr()
    if not is_view or buffer.shape[:2] != filled.shape[:2] or buffer.shape[2] < total:
        buffer = new.new_empty((*new.shape[:2], total + _SPARE_COLUMNS, new.shape[3]))
        buffer[:, :, :width] = filled
    buffer[:, :, width:total] = new
    return buffer
