"""Whether the configurations of models allow a merge: the same architecture and geometry.

Weights learned with different rotary frequencies, activations or scale factors mean different
things: averaging them is refused unless `unsound` allows it. Differences that only concern the
length of the context are remarks. `config_settings` has the settings of each group.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from merger.families.layers import parts_of
from patientdx.errors import MergeError

from .config_defaults import ConfigDefaults, read_defaults
from .config_settings import CONTEXT, GEOMETRY, MEANING, PER_LAYER, is_compared
from .layer_types import first_difference, read_layer_types, read_window
from .rotary_settings import compare_rotary_settings, read_rotary_settings

Config = Mapping[str, Any]

_NAMES = {"num_hidden_layers": "number of layers"}
_TEXT = "text_config"
# Names of one function: the GELU by tanh is written with the same constants.
_ACTIVATIONS = {
    "swish": "silu", "gelu_new": "gelu_pytorch_tanh", "gelu_fast": "gelu_pytorch_tanh",
    "gelu_python": "gelu",
}  # fmt: skip


def compare_configs(
    names: Sequence[str],
    configs: Sequence[Config],
    base: int,
    *,
    unsound: bool = False,
    layers_move: bool = False,
) -> list[str]:
    """Remarks on the differences between models; `base` is the index of the base.

    `layers_move` says that the recipe puts layers together itself, so that their number and kinds
    are not compared. Raises MergeError for differences that make a merge impossible, and for those
    that make it unsound unless `unsound`.
    """
    remarks: list[str] = []
    for i, config in enumerate(configs):
        if i != base:
            differences = list(_differences(configs[base], config, layers_move=layers_move))
            remarks += _judge(differences, (names[base], names[i]), unsound=unsound)
    return remarks


class _Difference(NamedTuple):
    """A setting with its values in the base and in another model.

    `group` is "geometry", "meaning", "context" or "other".
    """

    group: str
    key: str
    base: Any
    other: Any

    def describe(self, names: tuple[str, str]) -> str:
        """The difference in words; `names` are those of the base and of the other model."""
        name = _NAMES.get(self.key, self.key)
        base, other = _format_value(self.base), _format_value(self.other)
        return f"{name} is {base} in {names[0]}, and {other} in {names[1]}"


def _judge(
    differences: Sequence[_Difference], pair: tuple[str, str], *, unsound: bool
) -> list[str]:
    """Remarks on differences, the gravest first. Raises MergeError."""
    for difference in differences:
        if difference.group == "geometry":
            raise MergeError(
                f"the {difference.describe(pair)}",
                hint="only models of one architecture and size can be merged",
            )
    remarks = []
    for difference in differences:
        if difference.group == "meaning":
            problem = f"{difference.describe(pair)}: merging them is unsound"
            if not unsound:
                raise MergeError(problem, hint="choose siblings, or add --allow-unsound")
            remarks.append(problem)
    remarks += [
        f"{difference.describe(pair)}; the merge has {_format_value(difference.base)}"
        for difference in differences
        if difference.group == "context"
    ]
    others = ", ".join(difference.key for difference in differences if difference.group == "other")
    if others:
        remarks.append(
            f"config.json of {pair[0]} and {pair[1]} also differ in {others}; the merge has those "
            f"of {pair[0]}"
        )
    return remarks


def _differences(
    base: Config, other: Config, *, layers_move: bool, path: str = ""
) -> Iterator[_Difference]:
    """The settings that differ, those of the parts of a model included."""
    (base, base_parts), (other, other_parts) = _align_parts(base, other)
    for difference in _own_differences(base, other, layers_move=layers_move):
        yield difference._replace(key=path + difference.key)
    for name in base_parts:
        if name in other_parts:
            pair = base_parts[name], other_parts[name]
            yield from _differences(*pair, layers_move=layers_move, path=f"{path}{name}.")


def _align_parts(
    base: Config, other: Config
) -> tuple[tuple[Config, dict[str, Config]], tuple[Config, dict[str, Config]]]:
    """Both configurations with their parts; an older form has the text's settings at the top."""
    parts = [dict(parts_of(config)) for config in (base, other)]
    aligned = []
    for i, config in enumerate((base, other)):
        text = parts[1 - i].get(_TEXT)
        if text is not None and _TEXT not in parts[i]:
            parts[i][_TEXT] = {**config, "model_type": text.get("model_type")}
        shared = config.keys() & (base, other)[1 - i].keys()
        own = config if text is None or _TEXT in config else {key: config[key] for key in shared}
        aligned.append((own, parts[i]))
    return aligned[0], aligned[1]


def _own_differences(base: Config, other: Config, *, layers_move: bool) -> Iterator[_Difference]:
    """The settings of one part that differ."""
    defaults = read_defaults(base.get("model_type"))
    skipped = PER_LAYER if layers_move else frozenset[str]()
    pair = (base, other)
    yield from _compare_geometry(pair, skipped)
    for group, keys in (("meaning", MEANING), ("context", CONTEXT)):
        for key in sorted(keys & (base.keys() | other.keys()) - skipped):
            yield from _compare_values(group, key, [_value(c, key, defaults) for c in pair])
    rotary = [read_rotary_settings(config, defaults) for config in pair]
    for key, own, its in compare_rotary_settings(rotary[0], rotary[1]):
        yield _Difference("meaning", key, own, its)
    if not layers_move:
        types = [read_layer_types(config, defaults) for config in pair]
        differing = first_difference(types[0], types[1])
        if differing:
            layer, own, its = differing
            yield _Difference("meaning", f"the type of layer {layer}", own, its)
    for key in sorted(base.keys() & other.keys() - skipped):
        plain = not isinstance(base[key], Mapping) and is_compared(key)
        if plain and base[key] != other[key]:
            yield _Difference("other", key, base[key], other[key])


def _compare_geometry(
    pair: tuple[Config, Config], skipped: frozenset[str]
) -> Iterator[_Difference]:
    """Differences in sizes; those that only one file has show in the shapes of tensors."""
    keys = sorted(GEOMETRY - skipped, key=lambda key: (key != "model_type", key))
    for key in keys:
        values = [_geometry(config, key) for config in pair]
        missing = [value is None for value in values]
        if key == "model_type" or not any(missing):
            yield from _compare_values("geometry", key, values)


def _compare_values(group: str, key: str, values: Sequence[Any]) -> Iterator[_Difference]:
    if values[0] != values[1]:
        yield _Difference(group, key, *values)


def _geometry(config: Config, key: str) -> Any:
    value = config.get(key)
    if key == "num_key_value_heads" and value is None:
        return config.get("num_attention_heads")
    return value


def _value(config: Config, key: str, defaults: ConfigDefaults) -> Any:
    """A setting, or its default; what says that there is no such thing is None."""
    if key == "sliding_window":
        return read_window(config, defaults)
    value = config[key] if key in config else defaults.values.get(key)
    if value is False or value == []:
        return None
    return _ACTIVATIONS.get(value, value) if isinstance(value, str) else value


def _format_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:8]))
        return f"{shown} …" if len(value) > 8 else shown
    if isinstance(value, float):
        return f"{value:g}"
    return "not set" if value is None else str(value)
