"""Checks that all that a recipe sets has an effect; errors name the file and the line.

MergeKit passes over a parameter that its method does not have, or that stands where it is not
looked up, and merges by the default. So do not the recipes here: a slip is refused.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from .mergekit_methods import MERGEKIT_METHODS, MergeKitMethod, Parameter
from .model_nodes import read_model
from .yaml_nodes import Scalar, YamlNode, nearest_name, parse_yaml

_TRUE_OR_FALSE = frozenset(
    {"true", "yes", "on", "t", "y", "1", "false", "no", "off", "f", "n", "0", "1.0", "0.0"}
)
_DELLA_EPSILON = 0.15  # MergeKit's default
_TOKENIZER_KEYS = ("source", "tokens", "pad_to_multiple_of")


class _Scope(NamedTuple):
    """A `parameters` mapping, and whether it is that of a single model, and of the base."""

    parameters: YamlNode
    is_model: bool = False
    is_base: bool = False


def check_parameters(top: Mapping[str, YamlNode]) -> None:
    """Checks the method of a recipe, its parameters at every level, and its `tokenizer`.

    `top` are the fields of the recipe. Raises InputError with file and line.
    """
    method = _find_method(top["merge_method"])
    scopes = list(_scopes(top, top.get("base_model")))
    for scope in scopes:
        for name, node in scope.parameters.fields("`parameters`").items():
            parameter = _find_parameter(name, scope.parameters.key(name), scope, method)
            _check_value(node, parameter, method)
    if {"density", "epsilon"} <= method.parameters.keys():
        _check_spread([scope for scope in scopes if not scope.is_base], "parameters" in top)
    if "tokenizer" in top:
        _check_tokenizer(top["tokenizer"])


def check_filters(text: str, name: str, tensors: Collection[str]) -> None:
    """Raises InputError for a filter that is in the name of no tensor.

    `text` is that of a recipe in the file `name`.
    """
    top = parse_yaml(text, name).fields("the recipe")
    for scope in _scopes(top, None):
        for parameter, node in scope.parameters.fields("`parameters`").items():
            for entry in _filtered_entries(node):
                field = entry.fields(f"`{parameter}`").get("filter")
                words = field.text("a filter") if field else "*"
                if field and words != "*" and not any(words in tensor for tensor in tensors):
                    raise field.error(
                        f"no tensor has `{words}` in its name, so this value has no effect",
                        hint=f"a name of these models: {min(tensors, default='none')}",
                    )


def _find_method(node: YamlNode) -> MergeKitMethod:
    name = node.text("merge_method")
    if name not in MERGEKIT_METHODS:
        raise node.error(
            f"there is no method `{name}` in MergeKit 0.1.5",
            hint=nearest_name(name, tuple(MERGEKIT_METHODS)),
        )
    return MERGEKIT_METHODS[name]


# Where parameters stand --------------------------------------------------------------------------


def _scopes(part: Mapping[str, YamlNode], base: YamlNode | None) -> Iterator[_Scope]:
    """All `parameters` of a recipe or a module: its own, of its modules, slices and models."""
    if "parameters" in part:
        yield _Scope(part["parameters"])
    if "modules" in part:
        for name, module in part["modules"].fields("`modules`").items():
            fields = module.fields(f"the module `{name}`", ("models", "slices", "parameters"))
            yield from _scopes(fields, base)
    if "models" in part:
        yield from _model_scopes(part["models"].items("`models`"), base)
    for entry in part["slices"].items("`slices`") if "slices" in part else ():
        fields = entry.fields("a slice")
        if "parameters" in fields:
            yield _Scope(fields["parameters"])
        if "sources" in fields:
            sources = fields["sources"].items("`sources`")
            yield from _model_scopes(sources, fields.get("base_model", base))


def _model_scopes(entries: list[YamlNode], base: YamlNode | None) -> Iterator[_Scope]:
    for entry in entries:
        fields = entry.fields("a model")
        if "parameters" in fields:
            models = [read_model(node) for node in (base, fields.get("model")) if node]
            is_base = len(models) == 2 and models[0] == models[1]
            yield _Scope(fields["parameters"], is_model=True, is_base=is_base)


def _find_parameter(name: str, key: YamlNode, scope: _Scope, method: MergeKitMethod) -> Parameter:
    """The parameter of a name. Raises InputError if it has no effect where its key stands."""
    parameter = method.parameters.get(name)
    if parameter is None:
        raise key.error(f"{method.name} has no parameter `{name}`", hint=_explain(name, method))
    if scope.is_model and parameter.scope == "recipe":
        raise key.error(
            f"`{name}` has no effect on a single model: it is set for the whole recipe",
            hint="move it to `parameters` at the top of the recipe",
        )
    if scope.is_base and parameter.scope == "model but the base":
        raise key.error(
            f"`{name}` has no effect on the base model of {method.name}",
            hint="remove it; it belongs to the other models",
        )
    return parameter


def _explain(name: str, method: MergeKitMethod) -> str:
    if not method.parameters:
        return f"remove it: {method.name} has no parameters"
    hint = nearest_name(name, tuple(method.parameters))
    others = [other.name for other in MERGEKIT_METHODS.values() if name in other.parameters]
    if hint.startswith("did you mean") or not others:
        return hint
    return f"{hint} (`{name}` is one of {', '.join(others)})"


# Their values ------------------------------------------------------------------------------------


def _filtered_entries(node: YamlNode) -> list[YamlNode]:
    """The entries of a value with filters; none of a plain value or gradient."""
    if node.is_map:
        return [node]
    entries = node.items("a value") if node.is_list else []
    return entries if entries and all(entry.is_map for entry in entries) else []


def _check_value(node: YamlNode, parameter: Parameter, method: MergeKitMethod) -> None:
    """Raises InputError for a value out of range, and for one that never applies."""
    filtered = _filtered_entries(node)
    for entry, following in pairwise(filtered):
        field = entry.fields(f"`{parameter.name}`").get("filter")
        if field is None or field.text("a filter") == "*":
            raise following.error(
                f"this `{parameter.name}` has no effect: the value before it has no filter, and "
                "holds for all tensors",
                hint="put the value without a filter last",
            )
    for entry in filtered:
        fields = entry.fields(f"`{parameter.name}`", ("value", "filter"))
        if "value" not in fields:
            raise entry.error(f"`value` is missing in `{parameter.name}`")
        _check_gradient(fields["value"], parameter, method)
    if not filtered:
        _check_gradient(node, parameter, method)


def _check_gradient(node: YamlNode, parameter: Parameter, method: MergeKitMethod) -> None:
    if not node.is_list:
        _check_scalar(node, parameter, method)
        return
    values = node.items(f"`{parameter.name}`")
    if not values:
        raise node.error(f"`{parameter.name}` has no value", hint="remove it, or write a number")
    for value in values:
        _check_scalar(value, parameter, method)


def _check_scalar(node: YamlNode, parameter: Parameter, method: MergeKitMethod) -> None:
    name, value = parameter.name, node.scalar(f"`{parameter.name}`")
    if parameter.kind == "switch":
        if str(value).lower() not in _TRUE_OR_FALSE:
            raise node.error(f"{name} must be true or false, not `{value}`")
        return
    number = _read_number(value)
    if number is None:
        raise node.error(f"{name} must be a number, not `{_written(value)}`")
    if not math.isfinite(number):
        raise node.error(f"{name} must be finite")
    if parameter.kind == "whole number" and number != int(number):
        raise node.error(f"{name} must be a whole number, not {value}")
    if not _is_within(number, parameter):
        raise node.error(_out_of_range(parameter, value), hint=_hint(parameter, method))


def _read_number(value: Scalar) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except ValueError:
        return None


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_within(number: float, parameter: Parameter) -> bool:
    lowest, highest = parameter.lowest, parameter.highest
    above = lowest is None or number > lowest or (number == lowest and not parameter.above_lowest)
    return above and (highest is None or number <= highest)


def _out_of_range(parameter: Parameter, value: Scalar) -> str:
    name, lowest, highest = parameter.name, parameter.lowest, parameter.highest
    if highest is not None:
        return f"{name} must lie between {lowest:g} and {highest:g}, not at {value}"
    relation = "above" if parameter.above_lowest else "at least"
    return f"{name} must be {relation} {lowest:g}, not {value}"


def _hint(parameter: Parameter, method: MergeKitMethod) -> str:
    if method.name == "slerp":
        return "0 gives the base model, 1 the other one"
    if parameter.name in {"density", "select_topk", "gamma"}:
        return "it is a share of the numbers of a tensor: 0.5 is half of them"
    return f"correct `{parameter.name}`"


def _check_spread(scopes: list[_Scope], first_is_top: bool) -> None:
    """Raises InputError for a density and epsilon of DELLA whose probabilities leave (0, 1).

    Only plain numbers of models and of the whole recipe, which comes first, are compared; MergeKit
    checks gradients, filters and what slices and modules set.
    """
    named = [scope.parameters.fields("`parameters`") for scope in scopes]
    top = named[0] if first_is_top else {}
    models = [fields for scope, fields in zip(scopes, named, strict=True) if scope.is_model]
    if len(models) + first_is_top < len(scopes):
        return
    for own in models or [{}]:
        nodes = {**top, **own}
        density, epsilon = nodes.get("density"), nodes.get("epsilon")
        if density and _is_plain(density) and (epsilon is None or _is_plain(epsilon)):
            _check_probabilities(density, epsilon)


def _is_plain(node: YamlNode) -> bool:
    return not (node.is_map or node.is_list)


def _check_probabilities(density: YamlNode, epsilon: YamlNode | None) -> None:
    share = float(density.scalar("`density`"))
    spread = _DELLA_EPSILON if epsilon is None else float(epsilon.scalar("`epsilon`"))
    if 0 < share < 1 and not spread < share < 1 - spread:
        raise density.error(
            f"density {share:g} with epsilon {spread:g}: some numbers would be kept with a "
            "probability below 0 or above 1",
            hint=f"a density between {spread:g} and {1 - spread:g}, or a smaller epsilon",
        )


# The tokenizer -----------------------------------------------------------------------------------


def _check_tokenizer(node: YamlNode) -> None:
    """Raises InputError for keys of `tokenizer` that MergeKit would pass over."""
    fields = node.fields("`tokenizer`", _TOKENIZER_KEYS)
    tokens = fields["tokens"].fields("`tokens`") if "tokens" in fields else {}
    for token, entry in tokens.items():
        source = entry.fields(f"the token `{token}`", ("source", "force")).get("source")
        if source is not None and source.is_map:
            known = ("kind", "model", "token", "token_id", "lora", "override_architecture", "path")
            source.fields("a source", known)
