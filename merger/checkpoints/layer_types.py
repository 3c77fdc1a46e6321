"""Which attention the layers of a model have, in one form for all spellings of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from .config_defaults import ConfigDefaults

_FULL, _SLIDING = "full_attention", "sliding_attention"


def read_layer_types(config: Mapping[str, Any], defaults: ConfigDefaults) -> tuple[str, ...] | None:
    """The type of each layer; None if it does not follow from the configuration."""
    types = config.get("layer_types")
    if isinstance(types, Sequence) and not isinstance(types, str):
        return tuple(map(str, types))
    count = config.get("num_hidden_layers")
    rule = defaults.layer_types
    if not isinstance(count, int) or not rule:
        return None
    if config.get("use_sliding_window"):
        first = config.get("max_window_layers")
        if not isinstance(first, int):
            return None
        return tuple(_SLIDING if i >= first else _FULL for i in range(count))
    period = list(rule["period"])
    every = config.get(rule.get("key", ""))
    if isinstance(every, int) and every > 0:
        period = [_SLIDING] * (every - 1) + [_FULL]
    made = [period[i % len(period)] for i in range(count)]
    if made and "last" in rule:
        made[-1] = rule["last"]
    return tuple(made)


def read_window(config: Mapping[str, Any], defaults: ConfigDefaults) -> Any:
    """The number of tokens that sliding attention sees; None if no layer has it."""
    use = config.get("use_sliding_window", defaults.values.get("use_sliding_window", True))
    window = config.get("sliding_window", defaults.values.get("sliding_window"))
    return window if use else None


def first_difference(
    base: tuple[str, ...] | None, other: tuple[str, ...] | None
) -> tuple[int, str, str] | None:
    """The first layer whose types differ, and both types; None if nothing of weight differs.

    Models that have one attention in all layers differ in the length of their window only, which
    is compared by itself.
    """
    if base is None or other is None or len(base) != len(other):
        return None
    if all(len(set(types)) == 1 and set(types) <= {_FULL, _SLIDING} for types in (base, other)):
        return None
    pairs = enumerate(zip(base, other, strict=True))
    return next(((i, own, its) for i, (own, its) in pairs if own != its), None)
