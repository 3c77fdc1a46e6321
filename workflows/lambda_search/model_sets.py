"""The models whose merges are searched, and the recipe of each candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluator.selection import METHOD, Candidate, model_weights
from merger.methods.registry import find_method, method_names
from merger.recipes.reader import parse_recipe
from merger.recipes.recipe import MergeRecipe
from merger.recipes.writer import many_model_recipe, set_group_weights, to_yaml
from patientdx.errors import UsageError
from workflows.merge_recipes import (
    MergeSource,
    ResolvedMerge,
    TwoModelMerge,
    plain_model,
    resolve_merge,
)

REST = "rest"
"""The group of all tensors that belong to no other group."""

_FITTING = "slerp and linear are for two, linear and multislerp for more"
_RECIPE_COMMAND = "patientdx merge mergekit_config.yml"


@dataclass(frozen=True)
class ModelSet:
    """Two models or more to merge, the first being the base, and the methods to try.

    `recipe` is the merge that is opened, linear for more than two models. `source` is what the λ
    of a candidate goes into; it is of use for two models only.
    """

    name: str
    source: MergeSource
    recipe: MergeRecipe
    methods: tuple[str, ...]

    @classmethod
    def from_models(
        cls, models: Sequence[str], methods: Sequence[str] = (), name: str | None = None
    ) -> "ModelSet":
        """Models by their names; by default two are merged by slerp, more by linear.

        Raises UsageError for methods that are unknown, or not for this number of models.
        """
        methods = tuple(methods) or (("slerp",) if len(models) == 2 else ("linear",))
        known = method_names()
        if not {*methods} <= {*known} or len({*methods}) < len(methods):
            raise UsageError(f"--method is of {', '.join(known)}, not `{','.join(methods)}`")
        for method in methods:
            if not _is_searchable(method, len(models)):
                raise UsageError(
                    f"{method} is not searched for {len(models)} models", hint=_FITTING
                )
        name = name or " + ".join(Path(model).name for model in models)
        if len(models) > 2:
            return cls._many(name, [plain_model(model) for model in models], methods, None)
        source = TwoModelMerge(models[0], models[1], 0.5, methods[0])
        return cls(name, source, resolve_merge(source).recipe, methods)

    @classmethod
    def from_recipe(cls, path: Path) -> "ModelSet":
        """The models and the method of a recipe file, whose weights are searched anew.

        Raises UsageError for a recipe whose weights cannot be searched.
        """
        recipe = resolve_merge(path).recipe
        number, method = len(recipe.inputs), recipe.method
        searchable = _is_searchable(method, number)
        if number == 2 and (searchable or method not in method_names()):
            return cls(path.stem, path, recipe, (method,))
        if not searchable or recipe.slices or recipe.mergekit_keys or recipe.chat_template:
            raise UsageError(
                "weights of more than two models are searched for linear and multislerp only, "
                "without slices and chat template",
                hint=_FITTING,
            )
        return cls._many(path.stem, _base_first(recipe), (method,), recipe.dtype)

    @classmethod
    def _many(
        cls, name: str, models: Sequence[Any], methods: tuple[str, ...], dtype: str | None
    ) -> "ModelSet":
        data = many_model_recipe("linear", models, [1.0] * len(models), dtype)
        recipe = parse_recipe(to_yaml(data))
        return cls(name, recipe, recipe, methods)

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.recipe.inputs)

    @property
    def has_single_lambda(self) -> bool:
        """True where a candidate is one λ, and nothing else."""
        return self.size == 2 and len(self.methods) == 1

    @property
    def models(self) -> tuple[str, ...]:
        """The models, the base first; of two, the base is at λ = 0."""
        base = self.recipe.base
        return tuple(map(str, sorted(self.recipe.inputs, key=lambda ref: ref != base)))

    @property
    def ends(self) -> tuple[str, str]:
        """The short names of two models, at λ = 0 and λ = 1."""
        first, second = self.models
        return Path(first).name, Path(second).name

    def method_of(self, candidate: Candidate) -> str:
        """The method by which a candidate merges."""
        return str(dict(candidate.values).get(METHOD, self.methods[0]))

    def weights_of(self, candidate: Candidate) -> dict[str, float]:
        """The weight of each model in a candidate that has no groups."""
        return dict(zip(self.models, model_weights(candidate, self.size), strict=True))

    def point(self, candidate: Candidate) -> Any:
        """The candidate as `MergedModel` takes it.

        One λ; for groups a function from the name of a tensor to the λ of the first group whose
        name is part of it; for more than two models a weight for each.
        """
        values = dict(candidate.values)
        if REST in values:
            groups = [name for name in values if name not in {REST, "method"}]
            return lambda tensor: values[next((group for group in groups if group in tensor), REST)]
        return values["lambda"] if self.size == 2 else tuple(self.weights_of(candidate).values())

    def resolve(self, candidate: Candidate, dtype: str | None) -> ResolvedMerge:
        """The merge of a candidate, to be written.

        `dtype` is that of the base's weights, which multislerp, done in float32, is written in.
        """
        method, values = self.method_of(candidate), dict(candidate.values)
        if self.size > 2:
            dtypes = ("float32", dtype) if method == "multislerp" else (self.recipe.dtype, None)
            weights = list(self.weights_of(candidate).values())
            data = many_model_recipe(method, _base_first(self.recipe), weights, *dtypes)
        elif REST in values:
            groups = {name: value for name, value in values.items() if isinstance(value, float)}
            data = set_group_weights(self.recipe.to_dict(), groups, REST, method)
        else:
            source = self.source
            if isinstance(source, TwoModelMerge):
                source = replace(source, method=method)
            return resolve_merge(source, float(values["lambda"]))
        return ResolvedMerge(parse_recipe(to_yaml(data), self.name), _RECIPE_COMMAND)


def _is_searchable(method: str, number: int) -> bool:
    """True where weights of this number of models are searched for a method.

    Two models are published by the streaming engine, more by the weights of a live merge.
    """
    known = find_method(method)
    if known is None or known.sums_deltas:
        return False
    return known.streams if number == 2 else known.inputs is None


def _base_first(recipe: MergeRecipe) -> list[Any]:
    """The models as a recipe has them, the base first."""
    return [
        ref.to_yaml_value() for ref in sorted(recipe.inputs, key=lambda ref: ref != recipe.base)
    ]
