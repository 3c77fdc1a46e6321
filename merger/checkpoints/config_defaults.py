"""What a configuration means where config.json is silent, by model type.

The table `config_defaults.json` is made from transformers by tests/support/config_table.py, and a
test compares the two.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

_FILE = "config_defaults.json"
_USUAL_KEYS = {
    key: [""] for key in ("partial_rotary_factor", "rope_parameters", "rope_scaling", "rope_theta")
}


def _no_values() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class ConfigDefaults:
    """The defaults of a model type.

    `values` are those of plain settings. `rope` has the rotary settings by layer type ("" if all
    layers have the same) where config.json has none, `rope_with_type` where it has some and leaves
    others out. `rope_keys` are the keys of config.json that set them, with the entries that each
    sets; if `rope_fixed`, these change nothing unless config.json has a scaling.
    `original_context` is the value of `original_max_position_embeddings` where the configuration
    has it outside of its rotary settings. `layer_types` says how layer types repeat.
    """

    known: bool = False
    values: Mapping[str, Any] = field(default_factory=_no_values)
    rope: Mapping[str, Mapping[str, Any]] = field(default_factory=_no_values)
    rope_with_type: Mapping[str, Mapping[str, Any]] = field(default_factory=_no_values)
    rope_fixed: bool = False
    rope_keys: Mapping[str, list[str]] = field(default_factory=_no_values)
    original_context: int | None = None
    layer_types: Mapping[str, Any] = field(default_factory=_no_values)


def read_defaults(model_type: object) -> ConfigDefaults:
    """The defaults of a model type; of an unknown one, only what rotary settings usually are."""
    row = _table().get(str(model_type))
    if row is None:
        keys = {**_USUAL_KEYS, "rotary_emb_base": [""], "rotary_pct": [""], "rope_pct": [""]}
        usual = {"": {"rope_theta": 10_000.0}}
        return ConfigDefaults(rope=usual, rope_with_type=usual, rope_keys=keys)
    return ConfigDefaults(
        known=True,
        values=row["defaults"],
        rope=row.get("rope", {}),
        rope_with_type=row.get("rope_with_type", row.get("rope", {})),
        rope_fixed=row.get("rope_fixed", False),
        rope_keys=row.get("rope_keys", _USUAL_KEYS),
        original_context=row.get("original_context"),
        layer_types=row.get("layer_types", {}),
    )


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    package = __package__ or ""
    types: dict[str, dict[str, Any]] = json.loads(
        files(package).joinpath(_FILE).read_text(encoding="utf-8")
    )["types"]
    return types
