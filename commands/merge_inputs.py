"""What `merge` is asked for: a recipe from a file, a preset or options, and where models are."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from patientdx.errors import MergeError, UsageError

from . import options, output

if TYPE_CHECKING:
    from merger.planning.job import MergeJob
    from merger.recipes.recipe import MergeRecipe

Engine = Literal["stream", "mergekit"]


class Asked(NamedTuple):
    """Where the recipe comes from, as it was asked for."""

    given: list[str]
    method: str | None
    weight: float | None
    preset: str | None
    dtype: str | None


class Places(NamedTuple):
    """How models are got."""

    allow_fetch: bool
    hub: str | None
    quiet: bool

    def located(self, name: str) -> Path:
        """The folder of a model; fetched where that is allowed. Raises ModelError, FetchError."""
        from patientdx.fetching.model_cache import fetch_model, locate_model

        settings = options.settings()
        if not (self.allow_fetch or settings.allow_fetch):
            return _folder(name, locate_model(name, settings.cache))
        with output.progress(f"fetching {name}", quiet=self.quiet) as tick:
            hub = self.hub or settings.hub
            place = fetch_model(name, settings.cache, hub=hub, allowed=True, on_progress=tick)
        return _folder(name, place)


def _folder(name: str, place: Path) -> Path:
    if not place.is_dir():
        raise MergeError(
            f"`{name}` is a file; models are merged from folders of safetensors",
            hint="name a folder with config.json and model.safetensors",
        )
    return place


def asked_recipe(source: Asked) -> "tuple[MergeRecipe, str]":
    """The recipe asked for, and the command that asks for it without the folder."""
    from merger.recipes.presets import load_preset
    from merger.recipes.reader import parse_recipe, read_recipe
    from merger.recipes.writer import rename_models, set_weight, to_yaml

    given, weight = source.given, source.weight
    if sum(map(bool, (source.method, source.preset))) > 1:
        raise UsageError("--method and --preset exclude each other", hint="a preset has a method")
    words = ["patientdx", "merge", *(["--method", source.method] if source.method else [])]
    words += ["--preset", source.preset] if source.preset else []
    words += ["--weight", f"{weight:g}"] if weight is not None else []
    words += ["--dtype", source.dtype] if source.dtype else []
    command = shlex.join([*words, *given])
    if source.method:
        return parse_recipe(to_yaml(_two_models(source)), "the command line"), command
    if source.dtype:
        raise UsageError("--dtype goes with --method", hint="a recipe tells its own `dtype`")
    if source.preset:
        recipe = parse_recipe(load_preset(source.preset).text, source.preset)
    elif len(given) == 1:
        recipe = read_recipe(Path(given[0]))
    else:
        raise UsageError(
            "a recipe, --preset or --method is needed",
            hint="patientdx merge --method slerp --weight 0.4 A B --into OUT",
        )
    data = recipe.to_dict()
    if source.preset and given:
        data = rename_models(data, _instead(recipe, given))
    if weight is not None:
        data = set_weight(data, weight)
    if data != recipe.to_dict():
        recipe = parse_recipe(to_yaml(data), recipe.name)
    return recipe, command


def _two_models(source: Asked) -> dict[str, Any]:
    from merger.recipes.writer import two_model_recipe

    if len(source.given) != 2:
        raise UsageError(
            f"--method merges two models, and {len(source.given)} are named",
            hint="name two; for more, write a recipe",
        )
    if source.weight is None:
        raise UsageError(
            "no --weight named", hint="0 is the first model, 1 the second: --weight 0.4"
        )
    first, second = (plain_model(name) for name in source.given)
    return two_model_recipe(str(source.method), first, second, source.weight, source.dtype)


def plain_model(name: str) -> Any:
    """A model as a recipe names it; the name of a folder may hold MergeKit's own signs."""
    from merger.recipes.recipe import ModelRef

    return ModelRef(name).to_yaml_value() if Path(name).is_dir() else name


def _instead(recipe: "MergeRecipe", given: Sequence[str]) -> Mapping[Any, Any]:
    """The folders given for the models of a preset, in its order."""
    if len(given) != len(recipe.inputs):
        listed = ", then ".join(map(str, recipe.inputs))
        raise UsageError(
            f"the preset is of {len(recipe.inputs)} models, and {len(given)} are named",
            hint=f"in this order: {listed}",
        )
    return {ref: plain_model(name) for ref, name in zip(recipe.inputs, given, strict=True)}


def job_of(
    recipe: "MergeRecipe",
    places: Places,
    engine: Engine,
    shard_size: int,
    *,
    unsound: bool,
) -> "MergeJob":
    """The job of a recipe. Raises ModelError and FetchError for models that are not here."""
    from merger.planning.job import MergeJob

    settings = options.settings()
    folders = {ref: places.located(ref.base) for ref in recipe.inputs}
    adapters = {ref: places.located(ref.adapter) for ref in recipe.inputs if ref.adapter}
    return MergeJob(
        recipe,
        folders,
        adapters,
        engine=engine,
        unsound=unsound,
        shard_size=shard_size,
        threads=settings.threads,
        cache=settings.cache,
    )
