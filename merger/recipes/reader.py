"""Reads MergeKit's YAML into a Recipe; what is wrong is told with file and line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from patientdx.errors import InputError

from .recipe import (
    FilteredValue,
    MergeRecipe,
    ModelRef,
    Parameters,
    ParameterValue,
    Slice,
    Source,
)
from .yaml_lines import REMEDY, YamlNode, parse_yaml

_LARGEST = 1 << 20  # bytes; recipes have a few hundred
_MERGEKIT_KEYS = ("modules", "tokenizer", "tokenizer_source", "chat_template")
_KEYS = (
    *("models", "slices", "merge_method", "base_model", "parameters", "dtype", "out_dtype"),
    *("name", *_MERGEKIT_KEYS),
)
_DTYPES = ("bfloat16", "float16", "float32", "float64")


def read_recipe(path: Path) -> MergeRecipe:
    """The recipe of a file. Raises InputError with file and line for what cannot be used."""
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
        said = getattr(error, "strerror", None) or "bad name"
        raise InputError(f"{path}: cannot be read: {said}", hint="check the path") from None
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str = "recipe") -> MergeRecipe:
    """The recipe that a text holds. Raises InputError with file and line."""
    root = parse_yaml(text, name)
    top = root.fields("the recipe", _KEYS)
    if "merge_method" not in top:
        raise root.error("`merge_method` is missing", hint="for instance `merge_method: slerp`")
    kinds = [key for key in ("models", "slices", "modules") if key in top]
    if len(kinds) != 1:
        raise root.error("exactly one of `models`, `slices` and `modules` must be there")
    method = top["merge_method"].text("merge_method")
    base = _model(top["base_model"]) if "base_model" in top else None
    recipe = MergeRecipe(
        method=method,
        models=tuple(_sources(top["models"], method)) if "models" in top else (),
        slices=tuple(_slices(top["slices"], method)) if "slices" in top else (),
        base_model=base,
        parameters=_parameters(top.get("parameters"), method),
        dtype=_dtype(top.get("dtype")),
        out_dtype=_dtype(top.get("out_dtype")),
        mergekit_keys=tuple(key for key in _MERGEKIT_KEYS if key in top),
        text=text,
        name=name,
    )
    _check(recipe, root)
    return recipe


def _check(recipe: MergeRecipe, root: YamlNode) -> None:
    """What MergeKit would refuse later, and less plainly."""
    if recipe.method != "slerp" or "modules" in recipe.mergekit_keys:
        return
    bases = [each.base_model or recipe.base_model for each in recipe.slices]
    for base in bases or [recipe.base_model]:
        if base is None:
            raise root.error("slerp needs a `base_model`", hint="it is the model that t = 0 gives")
    groups = [{*(source.model for source in recipe.models), recipe.base_model}]
    if recipe.slices:
        groups = [{source.model for source in each.sources} for each in recipe.slices]
    for models in groups:
        if len(models) != 2:
            hint = "use multislerp, or linear"
            raise root.error(f"slerp merges two models, not {len(models)}", hint=hint)
    for models, base in zip(groups, bases, strict=False):
        if base not in models:
            raise root.error(f"the base `{base}` is not in every slice")


def _sources(node: YamlNode, method: str, *, sliced: bool = False) -> Iterator[Source]:
    known = ("model", "parameters", *(("layer_range",) if sliced else ()))
    seen: set[ModelRef] = set()
    entries = node.items("`sources`" if sliced else "`models`")
    if not entries:
        raise node.error("no model is listed")
    for entry in entries:
        fields = entry.fields("a model", known)
        if "model" not in fields:
            raise entry.error("`model` is missing")
        model = _model(fields["model"])
        # Passthrough may repeat a model; merging one with itself is a slip.
        if model in seen:
            raise entry.error(f"`{model}` is listed twice")
        seen.add(model)
        layers = _layers(fields.get("layer_range"), entry) if sliced else None
        yield Source(model, _parameters(fields.get("parameters"), method), layers)


def _slices(node: YamlNode, method: str) -> Iterator[Slice]:
    known = ("sources", "base_model", "parameters", "residual_weight")
    for entry in node.items("`slices`"):
        fields = entry.fields("a slice", known)
        if "sources" not in fields:
            raise entry.error("`sources` is missing")
        base = _model(fields["base_model"]) if "base_model" in fields else None
        sources = tuple(_sources(fields["sources"], method, sliced=True))
        if len({b - a for a, b in (source.layers or (0, 0) for source in sources)}) != 1:
            raise entry.error("the inputs of a slice must have the same number of layers")
        yield Slice(sources, _parameters(fields.get("parameters"), method), base)


def _layers(node: YamlNode | None, entry: YamlNode) -> tuple[int, int]:
    if node is None:
        raise entry.error("`layer_range` is missing", hint="for instance `layer_range: [0, 32]`")
    values = [one.scalar("a layer") for one in node.items("`layer_range`")]
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(values) != 2 or len(whole) != 2 or not 0 <= whole[0] < whole[1]:
        raise node.error("`layer_range` must be two whole numbers, the first below the second")
    return whole[0], whole[1]


def _model(node: YamlNode) -> ModelRef:
    """MergeKit's `path@revision+lora`, also spelled out as a mapping."""
    if not node.is_map:
        text = node.text("a model")
        if text.count("+") > 1 or any(part.count("@") > 1 for part in text.split("+")):
            raise node.error(f"`{text}` is no model: it must be path@revision+lora")
        base, _, lora = text.partition("+")
        return ModelRef(*_split_revision(base), *(_split_revision(lora) if lora else (None, None)))
    fields = node.fields("a model", ("model", "lora", "override_architecture"))
    if "model" not in fields:
        raise node.error("`model` is missing")
    if "override_architecture" in fields:
        raise fields["override_architecture"].error("`override_architecture` is not supported")
    base_path = _read_path(fields["model"])
    return ModelRef(*base_path, *(_read_path(fields["lora"]) if "lora" in fields else (None, None)))


def _read_path(node: YamlNode) -> tuple[str, str | None]:
    if not node.is_map:
        return _split_revision(node.text("a model"))
    fields = node.fields("a model", ("path", "revision"))
    if "path" not in fields:
        raise node.error("`path` is missing")
    revision = fields["revision"].text("a revision") if "revision" in fields else None
    return fields["path"].text("a path"), revision


def _split_revision(text: str) -> tuple[str, str | None]:
    path, _, revision = text.partition("@")
    return path, revision or None


def _dtype(node: YamlNode | None) -> str | None:
    if node is None:
        return None
    name = node.text("a dtype").removeprefix("torch.")
    if name not in _DTYPES:
        raise node.error(f"there is no dtype `{name}`", hint=f"choose of: {', '.join(_DTYPES)}")
    return name


def _parameters(node: YamlNode | None, method: str) -> Parameters:
    if node is None:
        return MappingProxyType({})
    fields = node.fields("`parameters`")
    found: Mapping[str, ParameterValue] = {
        name: _parameter_value(one, name) for name, one in fields.items()
    }
    if method == "slerp" and "t" in fields:
        _check_t(fields["t"])
    return MappingProxyType(dict(found))


def _parameter_value(node: YamlNode, name: str) -> ParameterValue:
    if node.is_map:
        return (_filtered_value(node, name),)
    if not node.is_list:
        return node.scalar(f"`{name}`")
    items = node.items(name)
    if items and all(one.is_map for one in items):
        return tuple(_filtered_value(one, name) for one in items)
    return tuple(one.scalar(f"`{name}`") for one in items)


def _filtered_value(node: YamlNode, name: str) -> FilteredValue:
    fields = node.fields(f"`{name}`", ("value", "filter"))
    if "value" not in fields:
        raise node.error(f"`value` is missing in `{name}`")
    value = fields["value"]
    if value.is_list:
        read: Any = tuple(one.scalar(f"`{name}`") for one in value.items(name))
    else:
        read = value.scalar(f"`{name}`")
    return FilteredValue(read, fields["filter"].text("a filter") if "filter" in fields else None)


def _check_t(node: YamlNode) -> None:
    """Refuses a t outside [0, 1], wherever it stands."""
    if node.is_map:
        _check_t(node.fields("`t`")["value"])
    elif node.is_list:
        for one in node.items("`t`"):
            _check_t(one)
    else:
        value = node.value()
        try:
            inside = 0 <= float(value) <= 1
        except ValueError:
            raise node.error(f"t must be a number, not `{value}`") from None
        if not inside:
            raise node.error(
                f"t must lie between 0 and 1, not at {value}",
                hint="0 gives the base model, 1 the other one",
            )
