"""Recipes as dicts and lists: composed for models and weights, changed, and written as YAML."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from merger.methods.registry import find_method, method_names, sums_deltas
from patientdx.errors import UsageError

from .mergekit_methods import SEEDS, is_random_method, random_method_names
from .recipe import ModelRef
from .yaml_nodes import yaml_module

_MODEL_KEYS = ("model", "base_model", "source", "tokenizer_source")


def to_yaml(data: Mapping[str, Any]) -> str:
    """YAML in MergeKit's style: lists of numbers stay on one line."""
    yaml = yaml_module()

    class Dumper(yaml.SafeDumper):  # type: ignore[misc, name-defined]
        """A dumper that keeps gradients on one line."""

    def represent_list(dumper: Any, values: list[Any]) -> Any:
        flow = bool(values) and all(isinstance(value, int | float) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flow)

    Dumper.add_representer(list, represent_list)
    text: str = yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True)
    return text


def two_model_recipe(
    method: str, first: str, second: str, weight: float, dtype: str | None = None
) -> dict[str, Any]:
    """The recipe of a merge of two models; the first is the base, `weight` is MergeKit's t."""
    check_weight(weight)
    names = [name for name in method_names(streaming_only=True) if not sums_deltas(name)]
    if method not in names:
        raise UsageError(
            f"--method is one of {', '.join(names)}, with --base task_arithmetic, not `{method}`",
            hint="write a recipe for the other methods of MergeKit: patientdx merge RECIPE.yml",
        )
    recipe: dict[str, Any] = {"models": [{"model": first}, {"model": second}]}
    recipe |= {"merge_method": method, "base_model": first}
    recipe = set_weight(recipe, weight)
    return recipe | ({"dtype": dtype} if dtype else {})


def many_model_recipe(
    method: str,
    models: Sequence[Any],
    weights: Sequence[float],
    dtype: str | None = None,
    out: str | None = None,
) -> dict[str, Any]:
    """The recipe of a merge of models by their weights; the first is the base.

    The base is left out for methods that would merge differently around it (`multislerp`).
    """
    sources = [
        {"model": model, "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    recipe: dict[str, Any] = {"models": sources, "merge_method": method}
    known = find_method(method)
    recipe |= {"base_model": models[0]} if known is not None and known.allows_base else {}
    return recipe | ({"dtype": dtype} if dtype else {}) | ({"out_dtype": out} if out else {})


def delta_recipe(
    method: str,
    base: Any,
    models: Sequence[Any],
    weights: Sequence[float],
    dtype: str | None = None,
) -> dict[str, Any]:
    """The recipe of a base plus the weighted differences of models from it.

    Raises UsageError for a method that is not made of such differences.
    """
    if not sums_deltas(method):
        names = [name for name in method_names() if sums_deltas(name)]
        raise UsageError(
            f"models are merged on a base by {' or '.join(names)}, not `{method}`",
            hint="leave --base out, or write a recipe",
        )
    for weight in weights:
        _check_finite(weight)
    if base in models:
        raise UsageError(f"the base `{base}` is also one of the models", hint="name it once")
    sources = [
        {"model": model, "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    recipe: dict[str, Any] = {"models": sources, "merge_method": method, "base_model": base}
    return recipe | ({"dtype": dtype} if dtype else {})


def set_group_weights(
    data: Mapping[str, Any], values: Mapping[str, float], rest: str, method: str
) -> dict[str, Any]:
    """A recipe of two models, or of models on a base, with one t per group of tensors.

    A group holds the tensors whose names contain its name; `rest` is the name of the group of all
    others. t is the share of the model that is not the base, or the weight of every difference.
    """
    recipe = dict(data) | {"merge_method": method}
    parameters = dict(recipe.pop("parameters", None) or {})
    for name in ("t", "weight"):
        parameters.pop(name, None)
    base = str(recipe.get("base_model", recipe["models"][0]["model"]))
    known = find_method(method)
    share = known.lambda_parameter if known else None
    if share is not None:
        parameters[share] = _filtered_values(values, rest, is_base=False)
    models = []
    for model in recipe["models"]:
        own = {k: v for k, v in (model.get("parameters") or {}).items() if k != "weight"}
        is_base = str(model["model"]) == base
        if share is None and not (is_base and known is not None and known.sums_deltas):
            own["weight"] = _filtered_values(values, rest, is_base=is_base)
        plain = {k: v for k, v in model.items() if k != "parameters"}
        models.append(plain | ({"parameters": own} if own else {}))
    return recipe | {"models": models} | ({"parameters": parameters} if parameters else {})


def _filtered_values(
    values: Mapping[str, float], rest: str, *, is_base: bool
) -> list[dict[str, Any]]:
    shares = {name: round(1 - t, 10) if is_base else t for name, t in values.items()}
    filtered = [{"filter": name, "value": t} for name, t in shares.items() if name != rest]
    return [*filtered, {"value": shares[rest]}]


def set_weight(data: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """A recipe of two models at another t, or of models on a base at another weight of them all.

    Raises UsageError for a recipe without such a number.
    """
    recipe, models = dict(data), list(data.get("models") or ())
    parameters = dict(recipe.get("parameters") or {})
    method = find_method(recipe["merge_method"])
    if method is not None and method.sums_deltas and models:
        return _set_delta_weight(recipe, weight)
    check_weight(weight)
    if method is not None and method.lambda_parameter is not None:
        return recipe | {"parameters": parameters | {method.lambda_parameter: weight}}
    if method is None or not method.streams or len(models) != 2:
        raise UsageError(
            "--weight needs a recipe of two models by slerp or linear, or by task_arithmetic",
            hint="write the weights into the recipe",
        )
    shares = (1 - weight, weight)
    if str(models[0]["model"]) != str(recipe.get("base_model", models[0]["model"])):
        shares = (weight, 1 - weight)
    recipe["models"] = [
        dict(model) | {"parameters": dict(model.get("parameters") or {}) | {"weight": share}}
        for model, share in zip(models, shares, strict=True)
    ]
    parameters.pop("weight", None)
    return recipe | ({"parameters": parameters} if parameters else {})


def _set_delta_weight(recipe: Mapping[str, Any], weight: float) -> dict[str, Any]:
    _check_finite(weight)
    base = str(recipe.get("base_model"))
    models = []
    for model in recipe["models"]:
        own = {k: v for k, v in (model.get("parameters") or {}).items() if k != "weight"}
        own |= {"weight": weight} if str(model["model"]) != base else {}
        plain = {k: v for k, v in model.items() if k != "parameters"}
        models.append(plain | ({"parameters": own} if own else {}))
    parameters = {k: v for k, v in (recipe.get("parameters") or {}).items() if k != "weight"}
    rest = {k: v for k, v in recipe.items() if k not in {"models", "parameters"}}
    return {"models": models, **rest} | ({"parameters": parameters} if parameters else {})


def set_seed(data: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A recipe with another seed. Raises UsageError if its method draws nothing at random."""
    method = data["merge_method"]
    if not is_random_method(method):
        raise UsageError(
            f"--seed has no effect: {method} draws nothing at random",
            hint=f"methods that do: {', '.join(random_method_names())}",
        )
    if not 0 <= seed < SEEDS:
        raise UsageError(f"--seed must lie between 0 and {SEEDS - 1}, not at {seed}")
    return dict(data) | {"random_seed": seed}


def rename_models(data: Any, names: Mapping[ModelRef, Any], *, is_model: bool = False) -> Any:
    """A recipe with other names of models, wherever models are named."""
    ref = _parse_model(data) if is_model else None
    if ref is not None and ref in names:
        return names[ref]
    if isinstance(data, list):
        return [rename_models(item, names) for item in data]
    if not isinstance(data, Mapping):
        return data
    return {
        key: rename_models(value, names, is_model=key in _MODEL_KEYS) for key, value in data.items()
    }


def _parse_model(data: Any) -> ModelRef | None:
    """The model that a value of a recipe names; None if it names none."""
    if isinstance(data, str):
        base, _, lora = data.partition("+")
        return ModelRef(*_split_revision(base), *(_split_revision(lora) if lora else (None, None)))
    if isinstance(data, Mapping) and "model" in data:
        return ModelRef(*_split_revision(data["model"]), *_split_revision(data.get("lora")))
    return None


def _split_revision(data: Any) -> tuple[Any, Any]:
    if isinstance(data, Mapping):
        return data.get("path"), data.get("revision")
    path, _, revision = str(data).partition("@") if data is not None else (None, "", "")
    return path, revision or None


def check_weight(weight: float) -> None:
    """Raises UsageError for a weight that does not lie between 0 and 1."""
    if not 0 <= weight <= 1:
        raise UsageError(
            f"--weight must lie between 0 and 1, not at {weight}",
            hint="0 gives the first model, 1 the second",
        )


def _check_finite(weight: float) -> None:
    if not math.isfinite(weight):
        raise UsageError(f"--weight must be a finite number, not {weight}", hint="--weight 0.4")
