"""The models whose merges are searched, and the recipe of each candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluator.selection import LAMBDA, METHOD, Candidate, delta_weights, model_weights
from merger.methods.registry import find_method, method_names, sums_deltas
from merger.recipes.reader import parse_recipe
from merger.recipes.recipe import MergeRecipe
from merger.recipes.writer import delta_recipe, many_model_recipe, set_group_weights, to_yaml
from patientdx.errors import UsageError
from workflows.merge_recipes import (
    MergeSource,
    ResolvedMerge,
    TaskArithmeticMerge,
    TwoModelMerge,
    plain_model,
    resolve_merge,
)

REST = "rest"
"""The group of all tensors that belong to no other group."""

_FITTING = (
    "slerp and linear are for two, linear and multislerp for more, task_arithmetic for a base"
)
_RECIPE_COMMAND = "patientdx merge mergekit_config.yml"


@dataclass(frozen=True)
class ModelSet:
    """Two models or more to merge, the first being the base, and the methods to try.

    `recipe` is the merge that is opened, linear for more than two models without a base. `source`
    is what the λ of a candidate goes into; it is of use for two models, and for models on a base.
    """

    name: str
    source: MergeSource
    recipe: MergeRecipe
    methods: tuple[str, ...]

    @classmethod
    def from_models(
        cls,
        models: Sequence[str],
        methods: Sequence[str] = (),
        name: str | None = None,
        base: str | None = None,
    ) -> "ModelSet":
        """Models by their names; by default two are merged by slerp, more by linear.

        With a `base`, which is not among them, their differences from it are merged, by default by
        task_arithmetic. Raises UsageError for methods that are unknown, or not for these models.
        """
        if base is not None:
            return cls._on_base(models, methods, name, base)
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
        if sums_deltas(method):
            return cls._recipe_on_base(path.stem, recipe)
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

    @classmethod
    def _on_base(
        cls, models: Sequence[str], methods: Sequence[str], name: str | None, base: str
    ) -> "ModelSet":
        methods = tuple(methods) or ("task_arithmetic",)
        if len(methods) > 1:
            raise UsageError("models on a base are merged by one method", hint=_FITTING)
        if not models:
            raise UsageError("no model named but the base", hint="name one or more: A C")
        source = TaskArithmeticMerge(base, tuple(models), 1.0, methods[0])
        name = name or f"{Path(base).name} + {' + '.join(Path(model).name for model in models)}"
        return cls(name, source, resolve_merge(source).recipe, methods)

    @classmethod
    def _recipe_on_base(cls, name: str, recipe: MergeRecipe) -> "ModelSet":
        """The models of a recipe on a base; its weights, its lambda and normalize do not count."""
        if recipe.slices or recipe.mergekit_keys or len(recipe.inputs) < 2:
            raise UsageError(
                "weights on a base are searched for one model or more, without slices",
                hint="list them under `models`",
            )
        data = _weigh_deltas(recipe, [1.0] * (len(recipe.inputs) - 1))
        plain = parse_recipe(to_yaml(data), name)
        return cls(name, plain, plain, (recipe.method,))

    @property
    def has_base(self) -> bool:
        """True where differences from a base are merged, which the first model is."""
        return sums_deltas(self.methods[0])

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.recipe.inputs)

    @property
    def has_single_lambda(self) -> bool:
        """True where a candidate is one λ, and nothing else."""
        return self.has_base or (self.size == 2 and len(self.methods) == 1)

    @property
    def models(self) -> tuple[str, ...]:
        """The models, the base first; of two, the base is at λ = 0."""
        base = self.recipe.base
        return tuple(map(str, sorted(self.recipe.inputs, key=lambda ref: ref != base)))

    @property
    def ends(self) -> tuple[str, str]:
        """The short names of what is at λ = 0 and λ = 1: two models, or a base and all others."""
        first, *others = self.models
        return Path(first).name, " + ".join(Path(other).name for other in others)

    def method_of(self, candidate: Candidate) -> str:
        """The method by which a candidate merges."""
        return str(dict(candidate.values).get(METHOD, self.methods[0]))

    def has_weights(self, candidate: Candidate) -> bool:
        """True where a candidate has more to report than one λ of two models, or groups."""
        return self.size > 2 and REST not in dict(candidate.values)

    def weights_of(self, candidate: Candidate) -> dict[str, float]:
        """The weight of each model, or of its difference, in a candidate that has no groups."""
        if self.has_base:
            others = self.models[1:]
            return dict(zip(others, delta_weights(candidate, len(others)), strict=True))
        return dict(zip(self.models, model_weights(candidate, self.size), strict=True))

    def point(self, candidate: Candidate) -> Any:
        """The candidate as `MergedModel` takes it.

        One λ; for groups a function from the name of a tensor to the λ of the first group whose
        name is part of it; for more than two models a weight for each, but for the base's.
        """
        values = dict(candidate.values)
        if REST in values:
            groups = [name for name in values if name not in {REST, "method"}]
            return lambda tensor: values[next((group for group in groups if group in tensor), REST)]
        if self.size == 2 or (self.has_base and LAMBDA in values):
            return values[LAMBDA]
        return tuple(self.weights_of(candidate).values())

    def resolve(self, candidate: Candidate, dtype: str | None) -> ResolvedMerge:
        """The merge of a candidate, to be written.

        `dtype` is that of the base's weights, which multislerp, done in float32, is written in.
        """
        method, values = self.method_of(candidate), dict(candidate.values)
        if REST in values:
            groups = {name: value for name, value in values.items() if isinstance(value, float)}
            data = set_group_weights(self.recipe.to_dict(), groups, REST, method)
        elif self.has_base and LAMBDA not in values:
            data = _weigh_deltas(self.recipe, list(self.weights_of(candidate).values()))
        elif self.size > 2 and not self.has_base:
            dtypes = ("float32", dtype) if method == "multislerp" else (self.recipe.dtype, None)
            weights = list(self.weights_of(candidate).values())
            data = many_model_recipe(method, _base_first(self.recipe), weights, *dtypes)
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
    if known is None or known.sums_deltas:  # these need a base beside the models
        return False
    return known.streams if number == 2 else known.inputs is None


def _weigh_deltas(recipe: MergeRecipe, weights: Sequence[float]) -> dict[str, Any]:
    """The models of a recipe on its base, by these weights."""
    base, *models = _base_first(recipe)
    data = delta_recipe(recipe.method, base, models, weights, recipe.dtype)
    return data | ({"out_dtype": recipe.out_dtype} if recipe.out_dtype else {})


def _base_first(recipe: MergeRecipe) -> list[Any]:
    """The models as a recipe has them, the base first."""
    return [
        ref.to_yaml_value() for ref in sorted(recipe.inputs, key=lambda ref: ref != recipe.base)
    ]
