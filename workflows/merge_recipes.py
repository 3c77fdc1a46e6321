"""Which merge is wanted: a recipe, a preset or named models, resolved into one MergeRecipe."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from patientdx.errors import UsageError

if TYPE_CHECKING:
    from merger.recipes.recipe import MergeRecipe

_SUFFIXES = frozenset({".yml", ".yaml"})


@dataclass(frozen=True)
class PresetMerge:
    """A recipe that ships; `models` are folders or names instead of its own, in its order."""

    name: str
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class TwoModelMerge:
    """Two models merged by `slerp` or `linear`: `weight` is the share of the second.

    The first model is the base. `dtype` is that of the result: bfloat16, float16 or float32.
    """

    first: str
    second: str
    weight: float
    method: str = "slerp"
    dtype: str | None = None


@dataclass(frozen=True)
class TaskArithmeticMerge:
    """A base plus the weighted differences of models that were trained from it.

    `weight` is the factor of every difference: 0 gives the base. `dtype` is that of the result:
    bfloat16, float16 or float32.
    """

    base: str
    models: Sequence[str]
    weight: float
    method: str = "task_arithmetic"
    dtype: str | None = None


@dataclass(frozen=True)
class ResolvedMerge:
    """A recipe, and the shell command that merges by it but for `--into`."""

    recipe: "MergeRecipe"
    command: str


MergeSource: TypeAlias = (
    "str | Path | MergeRecipe | PresetMerge | TwoModelMerge | TaskArithmeticMerge | ResolvedMerge"
)
"""A merge in any of the forms that workflows take.

A string is the name of a preset, or else the path of a recipe.
"""


def resolve_merge(
    source: MergeSource, weight: float | None = None, seed: int | None = None
) -> ResolvedMerge:
    """The recipe of a merge; `weight` replaces its t or its weights, `seed` its seed.

    Raises InputError for a recipe that cannot be read, UsageError for a merge that is not one.
    """
    from merger.recipes.presets import load_preset
    from merger.recipes.reader import parse_recipe, read_recipe

    if isinstance(source, ResolvedMerge):
        if weight is None and seed is None:
            return source
        source = source.recipe
    if isinstance(source, str):
        source = _read_name(source)
    if isinstance(source, TwoModelMerge):
        return _resolve_two_models(source, weight, seed)
    if isinstance(source, TaskArithmeticMerge):
        return _resolve_task_arithmetic(source, weight, seed)
    if isinstance(source, PresetMerge):
        recipe = parse_recipe(load_preset(source.name).text, source.name)
        arguments, models = ["--preset", source.name], source.models
    elif isinstance(source, Path):
        recipe, arguments, models = read_recipe(source), [], (str(source),)
    else:
        recipe, arguments, models = source, [], ("mergekit_config.yml",)
    command = _command(arguments, weight, models, seed=seed)
    replacements = models if isinstance(source, PresetMerge) else ()
    return ResolvedMerge(_change_recipe(recipe, replacements, weight, seed), command)


def plain_model(name: str) -> Any:
    """A model as a recipe has it; the name of a folder may hold MergeKit's signs `+` and `@`."""
    from merger.recipes.recipe import ModelRef

    return ModelRef(name).to_yaml_value() if Path(name).is_dir() else name


def _read_name(name: str) -> Path | PresetMerge:
    """The preset of a name, or a path; what is neither becomes an unknown preset."""
    from merger.recipes.presets import list_presets

    if name in {preset.name for preset in list_presets()}:
        return PresetMerge(name)
    path = Path(name)
    return path if path.exists() or path.suffix in _SUFFIXES else PresetMerge(name)


def _resolve_two_models(
    merge: TwoModelMerge, weight: float | None, seed: int | None
) -> ResolvedMerge:
    from merger.recipes.reader import parse_recipe
    from merger.recipes.writer import set_seed, to_yaml, two_model_recipe

    share = float(merge.weight if weight is None else weight)
    first, second = plain_model(merge.first), plain_model(merge.second)
    data = two_model_recipe(merge.method, first, second, share, merge.dtype)
    data = data if seed is None else set_seed(data, seed)
    models = (merge.first, merge.second)
    command = _command(["--method", merge.method], share, models, merge.dtype, seed=seed)
    return ResolvedMerge(parse_recipe(to_yaml(data), "the command line"), command)


def _resolve_task_arithmetic(
    merge: TaskArithmeticMerge, weight: float | None, seed: int | None
) -> ResolvedMerge:
    from merger.recipes.reader import parse_recipe
    from merger.recipes.writer import delta_recipe, set_seed, to_yaml

    factor = float(merge.weight if weight is None else weight)
    base, models = plain_model(merge.base), [plain_model(name) for name in merge.models]
    data = delta_recipe(merge.method, base, models, [factor] * len(models), merge.dtype)
    data = data if seed is None else set_seed(data, seed)
    arguments = ["--method", merge.method, "--base", merge.base]
    command = _command(arguments, factor, merge.models, merge.dtype, seed=seed)
    return ResolvedMerge(parse_recipe(to_yaml(data), "the command line"), command)


def _command(
    arguments: Sequence[str],
    weight: float | None,
    models: Sequence[str],
    dtype: str | None = None,
    *,
    seed: int | None = None,
) -> str:
    words = ["patientdx", "merge", *arguments]
    words += ["--weight", f"{weight:g}"] if weight is not None else []
    words += ["--dtype", dtype] if dtype else []
    words += ["--seed", str(seed)] if seed is not None else []
    return shlex.join([*words, *models])


def _change_recipe(
    recipe: "MergeRecipe", models: Sequence[str], weight: float | None, seed: int | None
) -> "MergeRecipe":
    """The recipe with other models, if any, weight and seed; its own text if unchanged."""
    from merger.recipes.reader import parse_recipe
    from merger.recipes.writer import rename_models, set_seed, set_weight, to_yaml

    data = original = recipe.to_dict()
    if models:
        _check_number(recipe, models)
        names = zip(recipe.inputs, models, strict=True)
        data = rename_models(data, {ref: plain_model(name) for ref, name in names})
    if weight is not None:
        data = set_weight(data, float(weight))
    if seed is not None:
        data = set_seed(data, seed)
    return recipe if data == original else parse_recipe(to_yaml(data), recipe.name)


def _check_number(recipe: "MergeRecipe", models: Sequence[str]) -> None:
    if len(models) != len(recipe.inputs):
        names = ", then ".join(map(str, recipe.inputs))
        raise UsageError(
            f"the preset is of {len(recipe.inputs)} models, and {len(models)} are named",
            hint=f"in this order: {names}",
        )
