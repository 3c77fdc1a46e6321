"""Whether the configurations of models allow a merge: the same architecture and geometry.

Weights learned with different rotary frequencies or activations mean different things: averaging
them is refused unless `unsound` allows it. Differences that only concern the length of the context
are remarks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from patientdx.errors import MergeError

Config = Mapping[str, Any]

_GEOMETRY = (
    *("model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "num_local_experts"),
)
_MEANING = ("hidden_act", "rope_theta", "rope_type", "rope_factor", "partial_rotary_factor")
_CONTEXT = ("sliding_window", "max_position_embeddings", "rms_norm_eps")
_NAMES = {"num_hidden_layers": "number of layers"}


def compare_configs(
    names: Sequence[str], configs: Sequence[Config], base: int, *, unsound: bool = False
) -> list[str]:
    """Remarks on the differences between models; `base` is the index of the base.

    Raises MergeError for differences that make a merge impossible, and for those that make it
    unsound unless `unsound`.
    """
    remarks: list[str] = []
    base_values = normalize_config(configs[base])
    for i, config in enumerate(configs):
        if i == base:
            continue
        values = normalize_config(config)
        pair = (names[base], names[i])
        for difference in _differences(base_values, values, _GEOMETRY):
            raise MergeError(
                f"the {difference.describe(pair)}",
                hint="only models of one architecture and size can be merged",
            )
        for difference in _differences(base_values, values, _MEANING):
            problem = f"{difference.describe(pair)}: merging them is unsound"
            if not unsound:
                raise MergeError(problem, hint="choose siblings, or add --allow-unsound")
            remarks.append(problem)
        remarks += [
            f"{difference.describe(pair)}; the merge has {difference.base}"
            for difference in _differences(base_values, values, _CONTEXT)
        ]
    return remarks


def normalize_config(config: Config) -> dict[str, Any]:
    """The compared values of a config.json, with defaults and old spellings resolved."""
    values = {key: config.get(key) for key in (*_GEOMETRY, *_CONTEXT, "hidden_act")}
    heads, width = values["num_attention_heads"], values["hidden_size"]
    values["num_key_value_heads"] = values["num_key_value_heads"] or heads
    if values["head_dim"] is None and isinstance(heads, int) and isinstance(width, int) and heads:
        values["head_dim"] = width // heads
    if config.get("use_sliding_window") is False:
        values["sliding_window"] = None
    elif "sliding_window" not in config and config.get("model_type") == "mistral":
        values["sliding_window"] = 4096  # the default of transformers
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = rope if isinstance(rope, Mapping) else {}
    values["rope_theta"] = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    values["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    values["rope_factor"] = rope.get("factor")
    values["partial_rotary_factor"] = rope.get(
        "partial_rotary_factor", config.get("partial_rotary_factor")
    )
    return values


def is_tied(config: Config, names: Sequence[str] | frozenset[str]) -> bool:
    """Whether a model uses its embeddings as its output layer; `names` are those of its tensors."""
    setting = config.get("tie_word_embeddings")
    return bool(setting) if setting is not None else "lm_head.weight" not in names


class _Difference(NamedTuple):
    """A setting with its values in the base and in another model, as text."""

    key: str
    base: str
    other: str

    def describe(self, names: tuple[str, str]) -> str:
        """The difference in words; `names` are those of the base and of the other model."""
        name = _NAMES.get(self.key, self.key)
        return f"{name} is {self.base} in {names[0]}, and {self.other} in {names[1]}"


def _differences(base: Config, other: Config, keys: Sequence[str]) -> Iterator[_Difference]:
    for key in keys:
        if base.get(key) != other.get(key):
            yield _Difference(key, _format_value(base.get(key)), _format_value(other.get(key)))


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "not set" if value is None else str(value)
