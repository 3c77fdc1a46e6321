"""Whether the configurations of models allow a merge: the same architecture and geometry.

Weights learned with different rotary frequencies or activations mean different things: averaging
them is refused unless `unsound` allows it. What only changes how long a context is used is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from patientdx.errors import MergeError

Config = Mapping[str, Any]

_GEOMETRY = (
    *("model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "num_local_experts"),
)
_MEANING = ("hidden_act", "rope_theta", "rope_type", "rope_factor", "partial_rotary_factor")
_CONTEXT = ("sliding_window", "max_position_embeddings", "rms_norm_eps")
_NAMES = {"num_hidden_layers": "number of layers", "rope_theta": "rope_theta"}


def compare_configs(
    names: Sequence[str], configs: Sequence[Config], base: int, *, unsound: bool = False
) -> list[str]:
    """What is to be said of models whose base has index `base`.

    Raises MergeError for differences that make a merge impossible, or unsound unless `unsound`.
    """
    remarks: list[str] = []
    own = normalize_config(configs[base])
    for at, config in enumerate(configs):
        if at == base:
            continue
        other = normalize_config(config)
        pair = (names[base], names[at])
        for key, mine, its in _differences(own, other, _GEOMETRY):
            raise MergeError(
                f"the {_NAMES.get(key, key)} is {mine} in {pair[0]}, and {its} in {pair[1]}",
                hint="only models of one architecture and size can be merged",
            )
        for key, mine, its in _differences(own, other, _MEANING):
            said = f"{key} is {mine} in {pair[0]}, and {its} in {pair[1]}: merging them is unsound"
            if not unsound:
                raise MergeError(said, hint="choose siblings, or add --allow-unsound")
            remarks.append(said)
        remarks += [
            f"{key} is {mine} in {pair[0]}, and {its} in {pair[1]}; the merge has {mine}"
            for key, mine, its in _differences(own, other, _CONTEXT)
        ]
    return remarks


def normalize_config(config: Config) -> dict[str, Any]:
    """The values of a config.json that matter here, with defaults and old spellings resolved."""
    found = {key: config.get(key) for key in (*_GEOMETRY, *_CONTEXT, "hidden_act")}
    heads, width = found["num_attention_heads"], found["hidden_size"]
    found["num_key_value_heads"] = found["num_key_value_heads"] or heads
    if found["head_dim"] is None and isinstance(heads, int) and isinstance(width, int) and heads:
        found["head_dim"] = width // heads
    if config.get("use_sliding_window") is False:
        found["sliding_window"] = None
    elif "sliding_window" not in config and config.get("model_type") == "mistral":
        found["sliding_window"] = 4096  # what transformers takes where it is not said
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = rope if isinstance(rope, Mapping) else {}
    found["rope_theta"] = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    found["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    found["rope_factor"] = rope.get("factor")
    found["partial_rotary_factor"] = rope.get(
        "partial_rotary_factor", config.get("partial_rotary_factor")
    )
    return found


def is_tied(config: Config, names: Sequence[str] | frozenset[str]) -> bool:
    """Whether a model's output layer is its embeddings."""
    said = config.get("tie_word_embeddings")
    return bool(said) if said is not None else "lm_head.weight" not in names


def _differences(one: Config, other: Config, keys: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    for key in keys:
        mine, its = one.get(key), other.get(key)
        if mine != its:
            yield key, _format_value(mine), _format_value(its)


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "not set" if value is None else str(value)
