"""Reads MergeKit's YAML into a MergeRecipe; errors name the file and the line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from merger.methods.method import MergeMethod
from merger.methods.registry import find_method
from merger.vocabulary.chat_templates import AUTO, SHIPPED, is_template_text
from patientdx.errors import InputError

from .mergekit_methods import SEEDS, is_random_method, random_method_names
from .model_nodes import read_model
from .parameter_checks import check_parameters
from .recipe import (
    FilteredValue,
    MergeRecipe,
    ModelRef,
    Parameters,
    ParameterValue,
    Slice,
    Source,
)
from .yaml_nodes import REMEDY, YamlNode, parse_yaml

_LARGEST = 1 << 20  # bytes; recipes have a few hundred
_MERGEKIT_KEYS = ("modules", "tokenizer", "tokenizer_source")
_KEYS = (
    *("models", "slices", "merge_method", "base_model", "parameters", "dtype", "out_dtype"),
    *("name", "random_seed", "chat_template", *_MERGEKIT_KEYS),
)
_DTYPES = ("bfloat16", "float16", "float32", "float64")
_NUMBER_WORDS = {2: "two"}


def read_recipe(path: Path | str) -> MergeRecipe:
    """The recipe in a file. Raises InputError with file and line."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(
                f"{path}: a folder, not a recipe",
                hint="to merge two models: patientdx merge --method slerp --weight 0.4 A B",
            )
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: too large for a recipe", hint=REMEDY)
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError.at(path, 1, "not UTF-8 text", hint=REMEDY) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "bad name"
        raise InputError(f"{path}: cannot be read: {reason}", hint="check the path") from None
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str = "recipe") -> MergeRecipe:
    """The recipe in a text, whose file is called `name`. Raises InputError with file and line."""
    root = parse_yaml(text, name)
    top = root.fields("the recipe", _KEYS)
    if "merge_method" not in top:
        raise root.error("`merge_method` is missing", hint="for instance `merge_method: slerp`")
    kinds = [key for key in ("models", "slices", "modules") if key in top]
    if len(kinds) != 1:
        raise root.error("exactly one of `models`, `slices` and `modules` must be there")
    method = top["merge_method"].text("merge_method")
    check_parameters(top)
    recipe = MergeRecipe(
        method=method,
        models=tuple(_sources(top["models"])) if "models" in top else (),
        slices=tuple(_slices(top["slices"])) if "slices" in top else (),
        base_model=read_model(top["base_model"]) if "base_model" in top else None,
        parameters=_parameters(top.get("parameters")),
        dtype=_dtype(top.get("dtype")),
        out_dtype=_dtype(top.get("out_dtype")),
        mergekit_keys=tuple(key for key in _MERGEKIT_KEYS if key in top),
        chat_template=_chat_template(top.get("chat_template")),
        random_seed=_random_seed(top.get("random_seed"), method),
        text=text,
        name=name,
    )
    merge_method = find_method(method)
    if merge_method is not None and "modules" not in recipe.mergekit_keys:
        _check_models(recipe, merge_method, root)
    return recipe


def _check_models(recipe: MergeRecipe, method: MergeMethod, root: YamlNode) -> None:
    """Raises InputError for models that the method cannot merge, which MergeKit reports late."""
    bases = [part.base_model or recipe.base_model for part in recipe.slices] or [recipe.base_model]
    if method.base_role is not None and None in bases:
        raise root.error(f"{method.name} needs a `base_model`", hint=f"it is {method.base_role}")
    groups = [{*(source.model for source in recipe.models), recipe.base_model}]
    if recipe.slices:
        groups = [{source.model for source in part.sources} for part in recipe.slices]
    for models in groups:
        if method.inputs is not None and len(models) != method.inputs:
            number = _NUMBER_WORDS.get(method.inputs, method.inputs)
            raise root.error(
                f"{method.name} merges {number} models, not {len(models)}",
                hint="use multislerp, or linear",
            )
    for models, base in zip(groups, bases, strict=False):
        if method.base_role is not None and base not in models:
            raise root.error(f"the base `{base}` is not in every slice")


def _sources(node: YamlNode, *, sliced: bool = False) -> Iterator[Source]:
    known = ("model", "parameters", *(("layer_range",) if sliced else ()))
    seen: set[ModelRef] = set()
    entries = node.items("`sources`" if sliced else "`models`")
    if not entries:
        raise node.error("no model is listed")
    for entry in entries:
        fields = entry.fields("a model", known)
        if "model" not in fields:
            raise entry.error("`model` is missing")
        model = read_model(fields["model"])
        # Passthrough may repeat a model in other slices; merging a model with itself is a mistake.
        if model in seen:
            raise entry.error(f"`{model}` is listed twice")
        seen.add(model)
        layers = _layers(fields.get("layer_range"), entry) if sliced else None
        yield Source(model, _parameters(fields.get("parameters")), layers)


def _slices(node: YamlNode) -> Iterator[Slice]:
    known = ("sources", "base_model", "parameters")
    for entry in node.items("`slices`"):
        fields = entry.fields("a slice", known)
        if "sources" not in fields:
            raise entry.error("`sources` is missing")
        base = read_model(fields["base_model"]) if "base_model" in fields else None
        sources = tuple(_sources(fields["sources"], sliced=True))
        if len({b - a for a, b in (source.layers or (0, 0) for source in sources)}) != 1:
            raise entry.error("the inputs of a slice must have the same number of layers")
        yield Slice(sources, _parameters(fields.get("parameters")), base)


def _layers(node: YamlNode | None, entry: YamlNode) -> tuple[int, int]:
    if node is None:
        raise entry.error("`layer_range` is missing", hint="for instance `layer_range: [0, 32]`")
    values = [item.scalar("a layer") for item in node.items("`layer_range`")]
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(values) != 2 or len(whole) != 2 or not 0 <= whole[0] < whole[1]:
        raise node.error("`layer_range` must be two whole numbers, the first below the second")
    return whole[0], whole[1]


def _dtype(node: YamlNode | None) -> str | None:
    if node is None:
        return None
    name = node.text("a dtype").removeprefix("torch.")
    if name not in _DTYPES:
        raise node.error(f"there is no dtype `{name}`", hint=f"choose one of: {', '.join(_DTYPES)}")
    return name


def _random_seed(node: YamlNode | None, method: str) -> int | None:
    if node is None:
        return None
    seed = node.scalar("`random_seed`")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise node.error(
            f"`random_seed` must be a whole number from 0 to {SEEDS - 1}, not `{seed}`"
        )
    if not is_random_method(method):
        raise node.error(
            f"`random_seed` has no effect: {method} draws nothing at random",
            hint=f"remove it; methods that do: {', '.join(random_method_names())}",
        )
    return seed


def _chat_template(node: YamlNode | None) -> str:
    if node is None:
        return ""
    value = node.text("`chat_template`")
    if value not in (AUTO, *SHIPPED) and not is_template_text(value):
        raise node.error(
            f"there is no chat template `{value}`",
            hint=f"choose one of: {', '.join((AUTO, *SHIPPED))}, or write one in Jinja",
        )
    return value


def _parameters(node: YamlNode | None) -> Parameters:
    if node is None:
        return MappingProxyType({})
    fields = node.fields("`parameters`")
    values: Mapping[str, ParameterValue] = {
        name: _parameter_value(field, name) for name, field in fields.items()
    }
    return MappingProxyType(dict(values))


def _parameter_value(node: YamlNode, name: str) -> ParameterValue:
    if node.is_map:
        return (_filtered_value(node, name),)
    if not node.is_list:
        return node.scalar(f"`{name}`")
    items = node.items(name)
    if items and all(item.is_map for item in items):
        return tuple(_filtered_value(item, name) for item in items)
    return tuple(item.scalar(f"`{name}`") for item in items)


def _filtered_value(node: YamlNode, name: str) -> FilteredValue:
    fields = node.fields(f"`{name}`", ("value", "filter"))
    if "value" not in fields:
        raise node.error(f"`value` is missing in `{name}`")
    value = fields["value"]
    if value.is_list:
        content: Any = tuple(item.scalar(f"`{name}`") for item in value.items(name))
    else:
        content = value.scalar(f"`{name}`")
    return FilteredValue(content, fields["filter"].text("a filter") if "filter" in fields else None)
