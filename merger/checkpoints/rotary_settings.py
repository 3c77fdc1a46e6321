"""The rotary position settings of a config.json, in one form for all of its spellings.

Older files have `rope_theta`, `rope_scaling` and others at the top, newer ones `rope_parameters`,
which may be nested by layer type. What is silent has the default of the model type, and settings
that do not change the angles are left out, so that equal settings are equal here.
"""

import math
from collections.abc import Mapping
from typing import Any

from .config_defaults import ConfigDefaults

RotarySettings = dict[str, dict[str, Any]]
"""Settings by layer type; "" stands for all layers."""

_THETAS = (
    *("rope_theta", "rotary_emb_base", "rope_local_base_freq", "swa_rope_theta"),
    *("global_rope_theta", "local_rope_theta"),
)
_FACTORS = ("partial_rotary_factor", "rotary_pct", "rope_pct")
_HEAD_SIZES = ("qk_rope_head_dim", "head_dim")
_OTHER_NAMES = {"su": "longrope", "mrope": "default", "ntk": "dynamic"}
# Settings of one kind of scaling, which others pass over.
_SCALING = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "proportional": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor", "beta_fast", "beta_slow", "mscale_all_dim"),
    "longrope": ("short_factor", "long_factor"),
    "default": (),
    "axial": (),
    "none": (),
}
_SCALING_KEYS = frozenset(
    [
        *("factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "truncate"),
        *("mscale", "mscale_all_dim", "short_factor", "long_factor", "attention_factor"),
        *("original_max_position_embeddings", "finetuned"),
    ]
)
_DEFAULTS = {"beta_fast": 32, "beta_slow": 1, "factor": 1.0}
_WITH_ORIGINAL = ("llama3", "yarn", "longrope")


def read_rotary_settings(config: Mapping[str, Any], defaults: ConfigDefaults) -> RotarySettings:
    """The rotary settings of a configuration; empty if its kind of model has none."""
    spelled = _spelled_entries(config, defaults)
    return {name: _simplify(entry, config, defaults) for name, entry in spelled.items()}


def compare_rotary_settings(
    base: RotarySettings, other: RotarySettings
) -> list[tuple[str, Any, Any]]:
    """The settings that differ, with both values; those of one layer type are named with it."""
    if not base or not other:
        return []
    nested = [name for name in {**base, **other} if name] or [""]
    if "" in base and "" in other:
        nested = [""]
    differences: dict[tuple[str, str], tuple[Any, Any]] = {}
    for name in nested:
        pair = [entries.get(name, entries.get("", {})) for entries in (base, other)]
        for key in dict.fromkeys((*pair[0], *pair[1])):
            if not _equal(pair[0].get(key), pair[1].get(key)):
                differences[key, name] = (pair[0].get(key), pair[1].get(key))
    return [
        (f"{key} of {name}" if name else key, *values)
        for (key, name), values in differences.items()
    ]


def _spelled_entries(config: Mapping[str, Any], defaults: ConfigDefaults) -> RotarySettings:
    """The settings as they are spelled, with what is silent filled in."""
    new, scaling = (_mapping(config.get(key)) for key in ("rope_parameters", "rope_scaling"))
    if not (new or scaling) and (not defaults.rope or defaults.rope_fixed):
        return {name: _fixed(name, config, defaults) for name in defaults.rope}
    nested = {key: value for key, value in new.items() if isinstance(value, Mapping | type(None))}
    nested = {key: value for key, value in nested.items() if value or key in defaults.rope}
    if nested:
        names = list(nested if "" in defaults.rope else {**defaults.rope, **nested})
    else:
        names = _flat_names(new, scaling, defaults)
    entries: RotarySettings = {}
    for name in names:
        if name in nested and nested[name] is None:
            entries[name] = {"rope_type": "none"}
            continue
        set_by_new = name in defaults.rope_keys.get("rope_parameters", ())
        entry = nested.get(name) if nested else new if set_by_new else None
        entries[name] = _fill(dict(entry or {}), name, config, defaults)
    return entries


def _flat_names(
    new: Mapping[str, Any], scaling: Mapping[str, Any], defaults: ConfigDefaults
) -> list[str]:
    """The entries of settings that are not nested by layer type."""
    for settings, key in ((scaling, "rope_scaling"), (new, "rope_parameters")):
        if settings and list(defaults.rope_keys.get(key, ())) == [""]:
            return [""]
    return list(defaults.rope) or [""]


def _fill(
    entry: dict[str, Any], name: str, config: Mapping[str, Any], defaults: ConfigDefaults
) -> dict[str, Any]:
    """An entry of the settings with the older keys and the defaults."""
    keys = defaults.rope_keys
    own_name = name if name in defaults.rope else ""
    scaling = _mapping(config.get("rope_scaling"))
    silent = not (entry or scaling or _mapping(config.get("rope_parameters")))
    if scaling and own_name in keys.get("rope_scaling", ()):
        entry = {"rope_type": "default", **entry, **scaling} if own_name else dict(scaling)
    for names, key in ((_THETAS, "rope_theta"), (_FACTORS, "partial_rotary_factor")):
        for spelling in names:
            value = config.get(spelling)
            if value is not None and own_name in keys.get(spelling, ()):
                entry.setdefault(key, value)
    source = defaults.rope if silent else defaults.rope_with_type
    for key, value in source.get(own_name, source.get("", {})).items():
        if silent or key not in _SCALING_KEYS | {"rope_type"}:
            entry.setdefault(key, value)
    return entry


def _fixed(name: str, config: Mapping[str, Any], defaults: ConfigDefaults) -> dict[str, Any]:
    """The default of a kind of model in which `rope_theta` alone changes nothing."""
    entry = defaults.rope[name]
    share = config.get("partial_rotary_factor")
    if share is None or name not in defaults.rope_keys.get("partial_rotary_factor", ()):
        return dict(entry)
    return {"partial_rotary_factor": share, **entry}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _simplify(
    entry: Mapping[str, Any], config: Mapping[str, Any], defaults: ConfigDefaults
) -> dict[str, Any]:
    """The settings of an entry that change the angles, with the defaults of its scaling."""
    kind = _scaling_type(entry, defaults)
    if kind == "none":
        return {"rope_type": kind}
    own = {"rope_type": kind, "rope_theta": entry.get("rope_theta")}
    own["rotary_dimensions"] = _rotary_dimensions(entry, config, defaults)
    skipped = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    if kind in _SCALING:
        skipped |= _SCALING_KEYS
    for key in _SCALING.get(kind, ()):
        value = entry.get(key)
        own[f"rope_{key}"] = _DEFAULTS.get(key) if value is None or value == 0 else value
    own |= {f"rope_{key}": value for key, value in entry.items() if key not in skipped}
    return own | _context_settings(kind, entry, config, defaults)


def _scaling_type(entry: Mapping[str, Any], defaults: ConfigDefaults) -> str:
    """The type of scaling by its present name; one that changes nothing is "default"."""
    kind = str(entry.get("rope_type") or entry.get("type") or "default")
    kind = _OTHER_NAMES.get(kind, kind)
    if kind == "yarn" and defaults.original_context is not None:
        kind = "longrope"  # an older name of it in Phi-3
    if kind == "linear" and entry.get("factor", 1.0) == 1.0:
        kind = "default"
    return "axial" if kind == "default" and _is_axial(defaults) else kind


def _is_axial(defaults: ConfigDefaults) -> bool:
    """Whether the kind of model has rows and columns of positions, whatever config.json says."""
    return any(entry.get("rope_type") == "axial" for entry in defaults.rope.values())


def _context_settings(
    kind: str, entry: Mapping[str, Any], config: Mapping[str, Any], defaults: ConfigDefaults
) -> dict[str, Any]:
    """The settings of a scaling that depend on the length of the context."""
    longest = config.get("max_position_embeddings", defaults.values.get("max_position_embeddings"))
    if kind == "dynamic":
        return {"max_position_embeddings": longest}
    if kind not in _WITH_ORIGINAL:
        return {}
    original = entry.get("original_max_position_embeddings") or longest
    if defaults.original_context is not None:
        original = config.get("original_max_position_embeddings") or defaults.original_context
    own = {"rope_original_max_position_embeddings": original}
    if kind != "llama3":
        factor = entry.get("factor")
        if not factor and isinstance(longest, int) and isinstance(original, int) and original:
            factor = longest / original
        own["rope_attention_factor"] = _attention_factor(kind, entry, factor, original)
        if kind == "yarn":
            own |= {"rope_factor": factor, "rope_truncate": entry.get("truncate", True)}
    return own


def _attention_factor(kind: str, entry: Mapping[str, Any], factor: Any, original: Any) -> Any:
    """What the scores of the attention are scaled by (Peng et al. 2023; Ding et al. 2024)."""
    explicit = entry.get("attention_factor")
    if explicit is not None or not isinstance(factor, int | float):
        return explicit
    if kind == "longrope":
        if factor <= 1 or not isinstance(original, int) or original < 2:
            return 1.0
        return round(math.sqrt(1 + math.log(factor) / math.log(original)), 9)
    mscale, over_all = entry.get("mscale"), entry.get("mscale_all_dim")
    if mscale and over_all:
        return round(_yarn_scale(factor, mscale) / _yarn_scale(factor, over_all), 9)
    return round(_yarn_scale(factor, 1.0), 9)


def _yarn_scale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _rotary_dimensions(
    entry: Mapping[str, Any], config: Mapping[str, Any], defaults: ConfigDefaults
) -> Any:
    """How many numbers of a head are rotated, or their share if the size of heads is unknown."""
    share = entry.get("partial_rotary_factor")
    sizes = [place.get(key) for key in _HEAD_SIZES for place in (config, defaults.values)]
    head = next(filter(None, sizes), None)
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    if not head and isinstance(heads, int) and isinstance(width, int) and heads:
        head = width // heads
    if share is None and config.get("rotary_dim") and "rotary_dim" in defaults.rope_keys and head:
        return int(config["rotary_dim"])
    share = 1.0 if share is None else share
    return int(head * share) if isinstance(head, int) and isinstance(share, int | float) else share


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-6)
    return bool(a == b)
