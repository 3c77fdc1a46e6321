"""The number of vocabulary rows in a config.json, which may stand in the part for text."""

from collections.abc import Mapping
from typing import Any

from .layers import look_up, with_value

_KEY = "vocab_size"
_PARTS = (("text_config", _KEY), ("decoder", _KEY), ("llm_config", _KEY))


def vocabulary_size(config: Mapping[str, Any]) -> int | None:
    """The number of rows by config.json; None where it is silent.

    A part for text comes before the key of the whole, which old files repeat.
    """
    for place in (*_PARTS, (_KEY,)):
        value = look_up(config, place)
        if isinstance(value, int):
            return value
    return None


def set_vocabulary_size(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """A configuration with another number of rows, in each place that has it.

    Where none has it, the part for text gets it if there is one.
    """
    places = [place for place in (*_PARTS, (_KEY,)) if isinstance(look_up(config, place), int)]
    if not places:
        places = [_PARTS[0] if isinstance(config.get("text_config"), Mapping) else (_KEY,)]
    changed = dict(config)
    for place in places:
        changed = with_value(changed, place, rows)
    return changed
