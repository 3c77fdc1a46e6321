"""Layers that a recipe's slices move, drop or repeat, and the config.json that describes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from merger.families.family import KeyPath
from merger.families.layers import layer_indices, look_up, per_layer_lists, with_value
from merger.families.layout import StackLayout, TensorLayout
from merger.families.table import find_family
from merger.recipes.recipe import MergeRecipe
from patientdx.errors import MergeError

LayerSources = tuple[tuple[int, int], ...]
"""The inputs of a layer of the output, each with the number of its layer there; the base first."""

_FIRST_DENSE = "first_k_dense_replace"
_FURTHER = "num_nextn_predict_layers"


def layer_sources(recipe: MergeRecipe) -> tuple[LayerSources, ...]:
    """The sources of each layer of the output by the recipe's slices; empty if it has none."""
    inputs = recipe.inputs
    layers: list[LayerSources] = []
    for part in recipe.slices:
        base = part.base_model or recipe.base_model
        sources = sorted(part.sources, key=lambda source: source.model != base)
        starts = [(inputs.index(source.model), (source.layers or (0, 0))[0]) for source in sources]
        start, stop = sources[0].layers or (0, 0)
        layers += [tuple((i, at + n) for i, at in starts) for n in range(stop - start)]
    return tuple(layers)


def layer_ends(
    moved: Sequence[LayerSources], stacks: Sequence[StackLayout], names: Sequence[str]
) -> dict[int, tuple[str, ...]]:
    """The ends of the tensors' names by source layer, for all layers that a recipe takes.

    `stacks` are those of the inputs, `names` the inputs' names in messages. Raises MergeError for
    layers that a model does not have, and for layers of different kinds under one number.
    """
    ends: dict[int, tuple[str, ...]] = {}
    for layers in moved:
        first = layers[0]
        for i, layer in layers:
            if not 0 <= layer < len(stacks[i].layers):
                raise MergeError(
                    f"the recipe takes layer {layer} of {names[i]}, which has layers 0 to "
                    f"{len(stacks[i].layers) - 1}",
                    hint="correct the recipe's `layer_range`: its end is not included",
                )
            own = stacks[i].layers[layer]
            expected = ends.setdefault(layer, stacks[first[0]].layers[first[1]])
            if set(own) != set(expected):
                raise MergeError(
                    f"layer {layer} of {names[i]} has other tensors than the layer that it is "
                    "merged with, or than the same layer of another model",
                    hint="choose ranges whose layers are of the same kind",
                )
    return ends


def move_layers(
    config: Mapping[str, Any],
    full: Sequence[Mapping[str, Any]],
    sources: Sequence[LayerSources],
    layouts: Sequence[TensorLayout],
) -> dict[str, Any]:
    """The base's config.json with the number of layers of the output, and their lists in order.

    `full` are the configurations of the inputs with their classes' defaults, where transformers
    knows the class, `layouts` their tensors. Raises MergeError if layers that are merged have
    different entries in a list.
    """
    base_index = sources[0][0][0]
    stack = layouts[base_index].stacks[0]
    changed = set_count(config, stack.count, len(sources))
    base = full[base_index]
    for key, count in per_layer_lists(base).items():
        if count[:-1] == stack.count[:-1] and _has_entries(base, key, count):
            entries = [_entry(full, key, layers) for layers in sources]
            changed = with_value(changed, key, entries)
    for key, count in layer_indices(base).items():
        if count[:-1] == stack.count[:-1]:
            changed = with_value(changed, key, _renumber(full, key, sources))
    if isinstance(changed.get("attention_types"), list) and "attention_layers" in changed:
        # GPT-Neo computes its list from runs of kinds.
        changed["attention_types"] = [[[kind], 1] for kind in changed["attention_layers"]]
    kinds = [layouts[layers[0][0]].stacks[0].layers[layers[0][1]] for layers in sources]
    changed = _count_dense(changed, (*stack.count[:-1], _FIRST_DENSE), kinds)
    return _drop_further_layers(changed, layouts[base_index])


def set_count(config: Mapping[str, Any], count: KeyPath, layers: int) -> dict[str, Any]:
    """A configuration with another number of layers, under all names that it has for it."""
    changed = with_value(config, count, layers)
    part = look_up(config, count[:-1]) if len(count) > 1 else config
    spellings = find_family(part if isinstance(part, Mapping) else {}).spellings
    name = spellings.get(count[-1], count[-1])
    for other in (name, *(old for old, new in spellings.items() if new == name)):
        place = (*count[:-1], other)
        if isinstance(look_up(config, place), int):
            changed = with_value(changed, place, layers)
    return changed


def _has_entries(config: Mapping[str, Any], key: KeyPath, count: KeyPath) -> bool:
    entries, length = look_up(config, key), look_up(config, count)
    return isinstance(entries, list) and isinstance(length, int) and len(entries) >= length


def _entry(full: Sequence[Mapping[str, Any]], key: KeyPath, layers: LayerSources) -> Any:
    """The entry of a layer in a list. Raises MergeError if its sources have different ones."""
    entries = []
    for i, layer in layers:
        values = look_up(full[i], key)
        if isinstance(values, list) and layer < len(values):
            entries.append(values[layer])
    if not entries:
        raise MergeError(
            f"the configurations have no `{'.'.join(key)}` for layer {layers[0][1]}",
            hint="write the list into each config.json, an entry for each layer",
        )
    if any(entry != entries[0] for entry in entries):
        raise MergeError(
            f"`{'.'.join(key)}` is {entries[0]} for layer {layers[0][1]} of one model, and "
            f"{next(entry for entry in entries if entry != entries[0])} for the layer that is "
            "merged with it",
            hint="choose ranges whose layers are of the same kind",
        )
    return entries[0]


def _renumber(
    full: Sequence[Mapping[str, Any]], key: KeyPath, sources: Sequence[LayerSources]
) -> list[int]:
    """The layers of the output whose source is listed in its configuration."""
    listed = []
    for number, layers in enumerate(sources):
        i, layer = layers[0]
        if layer in (look_up(full[i], key) or ()):
            listed.append(number)
    return listed


def _count_dense(
    config: dict[str, Any], key: KeyPath, kinds: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
    """The number of first layers without experts, where the family counts them so (DeepSeek).

    `kinds` are the ends of the tensors' names by layer of the output.
    """
    if not isinstance(look_up(config, key), int):
        return config
    dense = [n for n, ends in enumerate(kinds) if not any("expert" in end for end in ends)]
    if dense != list(range(len(dense))):
        raise MergeError(
            f"layer {dense[-1]} of the merge has no experts, and one before it has: "
            f"`{_FIRST_DENSE}` cannot describe that",
            hint="put the layers without experts first",
        )
    return with_value(config, key, len(dense))


def _drop_further_layers(config: dict[str, Any], layout: TensorLayout) -> dict[str, Any]:
    """Without the layers that predict further tokens, which follow the last layer in place."""
    key = (*layout.stacks[0].count[:-1], _FURTHER)
    if layout.unread and look_up(config, key):
        return with_value(config, key, 0)
    return config
