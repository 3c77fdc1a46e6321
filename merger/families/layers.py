"""The stacks of layers that a model's tensors show, and their lengths in config.json."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .family import Family, KeyPath
from .table import find_family

_NO_TEXT = re.compile(r"vision|visual|image|audio|speech|qformer|perceiver|resampler")
_NUMBERED = re.compile(r"(.+?)\.(\d+)\.")
# Keys that count layers, for families that the table lacks; the first one present is the main one.
_COUNTS = (
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"),
    *("num_decoder_layers", "encoder_layers", "num_encoder_layers", "depth"),
)
_LISTS = (
    *("layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers", "attention_layers"),
)
_INDICES = ("mlp_only_layers", "full_attn_idxs", "attn_layer_indices")


@dataclass(frozen=True)
class ModelStack:
    """A stack of layers: tensors `{prefix}.{number}.…`.

    `numbers` are the layers that tensors are there for, `length` is the number of layers by
    config.json, at `count`.
    """

    prefix: str
    count: KeyPath
    length: int
    numbers: frozenset[int]


def layer_counts(config: Mapping[str, Any]) -> dict[KeyPath, int]:
    """The numbers of layers of a config.json by key, the family's own where it is silent.

    Keys are spelled as the file has them. An encoder and a decoder, or text and vision parts, have
    one each. Empty if nothing is known.
    """
    family = find_family(config)
    keys = dict.fromkeys(stack.count for stack in family.stacks)
    counts = {}
    for key in keys or _generic_counts(config):
        place = _place(config, key)
        value = look_up(config, place)
        if not isinstance(value, int):
            value = _default_count(config, family, key)
        if value is not None:
            counts[place] = value
    return counts


def layer_stacks(config: Mapping[str, Any], names: Iterable[str]) -> tuple[ModelStack, ...]:
    """The stacks of layers among tensors, that of the text first, then by number of tensors.

    A prefix is looked up in the family, then in the families of the parts of the configuration
    (a vision-language model may hold any text model); for others it is a stack if its length is
    that of a count in config.json. Numbered modules that are no stacks, such as experts or a
    projector's steps, are not among them.
    """
    tensors: dict[str, dict[int, int]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match:
            numbers = tensors.setdefault(match.group(1), {})
            numbers[int(match.group(2))] = numbers.get(int(match.group(2)), 0) + 1
    counts = layer_counts(config)
    stacks = []
    for prefix, numbers in tensors.items():
        key = _count_key(config, prefix, len(numbers))
        if key is not None and key in counts:
            stacks.append(ModelStack(prefix, key, counts[key], frozenset(numbers)))

    def rank(stack: ModelStack) -> tuple[bool, int]:
        outer = stack.count[0] if len(stack.count) > 1 else stack.prefix
        return bool(_NO_TEXT.search(outer)), -sum(tensors[stack.prefix].values())

    return tuple(sorted(stacks, key=rank))


def per_layer_lists(config: Mapping[str, Any]) -> dict[KeyPath, KeyPath]:
    """The lists of a config.json with one entry per layer, each with the key of its count."""
    return _present(config, find_family(config).per_layer_lists, _LISTS)


def layer_indices(config: Mapping[str, Any]) -> dict[KeyPath, KeyPath]:
    """The lists of a config.json that name layers by number, each with the key of its count."""
    return _present(config, find_family(config).layer_indices, _INDICES)


def look_up(config: Mapping[str, Any], path: KeyPath) -> Any:
    """The value at a place of a configuration; None if there is none."""
    value: Any = config
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def with_value(config: Mapping[str, Any], path: KeyPath, value: object) -> dict[str, Any]:
    """A configuration with another value at a place."""
    changed = dict(config)
    inner = changed.get(path[0])
    part = inner if isinstance(inner, Mapping) else {}
    changed[path[0]] = value if len(path) == 1 else with_value(part, path[1:], value)
    return changed


def parts_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The configurations inside of a configuration, such as `text_config`."""
    for key, value in config.items():
        if isinstance(value, Mapping) and ("model_type" in value or key.endswith("_config")):
            yield key, value


def _place(config: Mapping[str, Any], key: KeyPath) -> KeyPath:
    """A key as the file spells it; unchanged if the file has none of its spellings."""
    part = look_up(config, key[:-1]) if len(key) > 1 else config
    if not isinstance(part, Mapping) or key[-1] in part:
        return key
    spellings = find_family(part).spellings
    others = [spellings.get(key[-1]), *(old for old, new in spellings.items() if new == key[-1])]
    present = [other for other in others if other and isinstance(part.get(other), int)]
    return (*key[:-1], present[0]) if present else key


def _default_count(config: Mapping[str, Any], family: Family, key: KeyPath) -> int | None:
    """The count of a class where config.json is silent: that of the part's own type first."""
    part = look_up(config, key[:-1]) if len(key) > 1 else None
    if isinstance(part, Mapping) and "model_type" in part:
        own = find_family(part)
        name = own.spellings.get(key[-1], key[-1])
        if (name,) in own.default_counts:
            return own.default_counts[name,]
    if key == ("num_decoder_layers",):  # T5: as many as the encoder has
        encoder = config.get("num_layers")
        if isinstance(encoder, int):
            return encoder
    return family.default_counts.get(key)


def _generic_counts(config: Mapping[str, Any]) -> list[KeyPath]:
    keys: list[KeyPath] = [(key,) for key in _COUNTS if isinstance(config.get(key), int)]
    for name, part in parts_of(config):
        keys += [(name, *key) for key in layer_counts(part)]
    return keys


def _count_key(config: Mapping[str, Any], prefix: str, length: int) -> KeyPath | None:
    """The key of the count of a stack; None if the prefix is that of no stack."""
    family = find_family(config)
    for stack in family.stacks:
        if prefix in {stack.prefix, _without_base(stack.prefix)}:
            return _place(config, stack.count)
    for name, part in parts_of(config):
        for stack in find_family(part).stacks:
            if f".{prefix}".endswith(f".{stack.prefix}"):
                return _place(config, (name, *stack.count))
    if family.known:
        return None
    counts = layer_counts(config)
    same = [key for key, count in counts.items() if count == length]
    main = [key for key in counts if re.search(r"(?:^|\.)(?:layers|h|blocks?)$", prefix)]
    return next(iter(same or main), None)


def _without_base(prefix: str) -> str:
    """The prefix in a model without a head, which has no `model.` before its names."""
    return prefix.partition(".")[2] or prefix


def _present(
    config: Mapping[str, Any], table: Mapping[KeyPath, KeyPath], generic: Iterable[str]
) -> dict[KeyPath, KeyPath]:
    """The keys of a table, or else of the usual names, that hold a list in a configuration."""
    counts = layer_counts(config)
    keys = {key: _place(config, count) for key, count in table.items()}
    for count in counts:
        for name in generic:
            keys.setdefault((*count[:-1], name), count)
    return {key: count for key, count in keys.items() if isinstance(look_up(config, key), list)}
