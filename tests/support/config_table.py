"""Makes the table of what configurations default to, from the installed transformers.

    python tests/support/config_table.py merger/checkpoints/config_defaults.json

Every configuration of a model that generates text, and of its parts, is made with nothing set. Its
rotary settings and layer types are probed: which older keys of config.json it reads, and what
these change.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from merger.checkpoints.config_settings import CONTEXT, MEANING

_MAPPINGS = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SPEECH_SEQ_2_SEQ")
_THETAS = (
    *("rope_theta", "rotary_emb_base", "rope_local_base_freq", "swa_rope_theta"),
    *("global_rope_theta", "local_rope_theta"),
)
_FACTORS = ("partial_rotary_factor", "rotary_pct", "rope_pct")
_PROBE_THETA, _PROBE_FACTOR = 7777.0, 0.75
_MSCALES = {"factor": 2.0, "short_mscale": 1.0, "long_mscale": 1.0}
_SCALINGS: list[dict[str, Any]] = [
    {"rope_type": "linear", "factor": 2.0},
    *(
        {"type": "longrope", "short_factor": [1.0] * n, "long_factor": [1.0] * n, **_MSCALES}
        for n in (32, 48, 64)
    ),
]
USUAL_KEYS = {
    key: [""] for key in ("partial_rotary_factor", "rope_parameters", "rope_scaling", "rope_theta")
}
"""The older keys of most kinds of models, which the table leaves out."""
_NEEDED: dict[str, dict[str, Any]] = {
    name: {"head_dim": 64}
    for name in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral", "nemotron")
}


@cache
def config_classes() -> dict[str, Any]:
    """The configuration classes of models that generate text and of their parts, by model type."""
    import transformers
    from transformers.models.auto import modeling_auto

    classes: dict[str, Any] = {}

    def add(kind: Any) -> None:
        if kind.model_type and kind.model_type not in classes:
            classes[kind.model_type] = kind
            for part in _parts_of(kind):
                add(part)

    for mapping in _MAPPINGS:
        for names in getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").values():
            for name in names if isinstance(names, list | tuple) else [names]:
                add(getattr(transformers, name).config_class)
    return classes


def _parts_of(kind: Any) -> list[Any]:
    """The configuration classes of parts: those that a class names, and those of its defaults."""
    from transformers import PreTrainedConfig

    sub_configs = getattr(kind, "sub_configs", {}).values()
    named = [part for part in sub_configs if hasattr(part, "model_type")]
    try:
        made = vars(kind()).values()
    except Exception:  # noqa: BLE001 - classes check their settings in many ways
        made = {}.values()
    return [*named, *(type(value) for value in made if isinstance(value, PreTrainedConfig))]


def read_by_transformers(kind: Any, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What transformers makes of a config.json, as it would save it; None if it refuses it."""
    needed = _NEEDED.get(kind.model_type, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made: dict[str, Any] = kind.from_dict({**needed, **json.loads(json.dumps(settings))})
            return made.to_dict()  # type: ignore[attr-defined, no-any-return]
        except Exception:  # noqa: BLE001 - classes check their settings in many ways
            return None


def describe(kind: Any) -> dict[str, Any] | None:
    """The row of a configuration class; None if it needs settings that have no default."""
    plain = read_by_transformers(kind, {})
    if plain is None:
        return None
    keys = sorted((MEANING | CONTEXT | {"head_dim", "qk_rope_head_dim"}) & set(plain))
    row: dict[str, Any] = {
        "defaults": {key: plain[key] for key in keys if plain[key] not in (None, False, [])}
    }
    row["defaults"] = {k: v for k, v in row["defaults"].items() if not isinstance(v, dict)}
    if "use_sliding_window" in plain:
        row["defaults"]["use_sliding_window"] = plain["use_sliding_window"]
    if _is_derived(kind, "head_dim", plain):
        del row["defaults"]["head_dim"]
    if "original_max_position_embeddings" in plain:
        row["original_context"] = plain["original_max_position_embeddings"]
    rope = plain.get("rope_parameters")
    if rope:
        row |= describe_rotary_settings(kind, rope)
    types = layer_types_rule(kind)
    if types:
        row["layer_types"] = types
    return row


def describe_rotary_settings(kind: Any, default: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a row on rotary settings, whose default is not empty."""
    silent = {key: _without_defaults(value) for key, value in _entries(default).items()}
    row: dict[str, Any] = {"rope": silent}
    with_type = read_by_transformers(kind, {"rope_parameters": {"rope_type": "default"}})
    if with_type:
        entries = _entries(with_type.get("rope_parameters") or {})
        set_by_type = {key: _without_defaults(value) for key, value in entries.items()}
        if set_by_type != silent:
            row["rope_with_type"] = set_by_type
    keys = rope_keys(kind)
    if keys != USUAL_KEYS:
        row["rope_keys"] = keys
    alone = read_by_transformers(kind, {"rope_theta": _PROBE_THETA})
    if "rope_theta" in keys and alone and not _changed(alone, "rope_theta"):
        row["rope_fixed"] = True
    return row


def rope_keys(kind: Any) -> dict[str, list[str]]:
    """The keys of config.json that a class reads, with the entries of its settings they set."""
    probes: list[tuple[str, Any]] = [(key, _PROBE_THETA) for key in _THETAS]
    probes += [(key, _PROBE_FACTOR) for key in _FACTORS]
    probes.append(("rotary_dim", int(_PROBE_FACTOR * _head_dim(kind))))
    keys: dict[str, list[str]] = {}
    for key, value in probes:
        after = read_by_transformers(kind, {key: value})
        if after is not None and _changed(after, key):
            keys[key] = _changed(after, key)
    for scaling in _SCALINGS:
        for key in ("rope_scaling", "rope_parameters"):
            after = read_by_transformers(kind, {key: scaling})
            if after is not None and _changed(after, key):
                keys.setdefault(key, _changed(after, key))
        for key, value in probes:
            after = read_by_transformers(kind, {"rope_scaling": scaling, key: value})
            if after is not None and _changed(after, key):
                keys.setdefault(key, _changed(after, key))
    return {key: keys[key] for key in sorted(keys)}


def _changed(config: Mapping[str, Any], key: str) -> list[str]:
    """The entries of the rotary settings that a probe of `key` has come into."""
    entries = _entries(config.get("rope_parameters") or {})
    return sorted(name for name, entry in entries.items() if _holds_probe(entry, key))


def layer_types_rule(kind: Any) -> dict[str, Any] | None:
    """How layer types follow from the number of layers, if they repeat."""
    short, long = (_layer_types(kind, num_hidden_layers=n) for n in (13, 29))
    if not short or not long:
        return None
    last = None
    if long[:13] != short and long[:12] == short[:12]:
        last = short[12]
    if long[:12] != short[:12] or (last and long[28] != last):
        return None
    body = long[: 28 if last else 29]
    period = next((p for p in range(1, 13) if _repeats(body, p)), None)
    if period is None:
        return None
    rule: dict[str, Any] = {"period": body[:period], **({"last": last} if last else {})}
    other = _layer_types(kind, num_hidden_layers=13, sliding_window_pattern=3)
    if other and other[:6] == (["sliding_attention"] * 2 + ["full_attention"]) * 2 != short[:6]:
        rule["key"] = "sliding_window_pattern"
    return rule


def _layer_types(kind: Any, **settings: Any) -> list[str] | None:
    made = read_by_transformers(kind, settings)
    return made.get("layer_types") if made else None


def _repeats(types: list[str], period: int) -> bool:
    return all(types[i] == types[i % period] for i in range(len(types)))


def _is_derived(kind: Any, key: str, plain: Mapping[str, Any]) -> bool:
    """Whether a default follows from the width and the number of heads."""
    if key not in plain or not isinstance(plain.get("num_attention_heads"), int):
        return False
    more = read_by_transformers(kind, {"num_attention_heads": 2 * plain["num_attention_heads"]})
    return more is not None and more[key] != plain[key]


def _head_dim(kind: Any) -> int:
    plain = read_by_transformers(kind, {}) or {}
    heads: int = plain.get("num_attention_heads") or 1
    return int(plain.get("head_dim") or plain.get("hidden_size", 64) // heads)


def _entries(rope: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested = {key: value for key, value in rope.items() if isinstance(value, dict)}
    none = {key: {"rope_type": "none"} for key, value in rope.items() if value is None}
    return {**nested, **none} if nested else {"": dict(rope)}


def _without_defaults(entry: Mapping[str, Any]) -> dict[str, Any]:
    silent = (None, "default")
    return {key: value for key, value in sorted(entry.items()) if value not in silent}


def _holds_probe(entry: Mapping[str, Any], key: str) -> bool:
    if key in {"rope_scaling", "rope_parameters"}:
        return entry.get("rope_type", entry.get("type")) in {"linear", "longrope"}
    if key in _THETAS:
        return bool(entry.get("rope_theta") == _PROBE_THETA)
    return bool(entry.get("partial_rotary_factor") == _PROBE_FACTOR)


def make_table(classes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The rows by model type."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    rows = {}
    for model_type, kind in sorted((classes or config_classes()).items()):
        row = describe(kind)
        if row is None:
            print(f"{model_type}: no defaults", file=sys.stderr)
        else:
            rows[model_type] = row
    return rows


def format_table(rows: Mapping[str, Any], version: str) -> str:
    """The table as JSON with a line for each model type."""
    lines: Iterable[str] = (f" {json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
    return f'{{"transformers": "{version}", "types": {{\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    import transformers

    Path(sys.argv[1]).write_text(
        format_table(make_table(), transformers.__version__), encoding="utf-8"
    )
