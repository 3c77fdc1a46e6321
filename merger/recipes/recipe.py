"""Merge recipes: MergeKit's YAML as values.

The methods of `merger.methods` are understood in full. For other methods, and for keys that only
MergeKit acts on, the text is kept and passed to MergeKit unchanged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from merger.methods.registry import find_method

from .yaml_nodes import Scalar, parse_yaml

MOVED_LAYERS = "slices that move, drop or repeat layers"
"""Name of a feature that only MergeKit has."""


@dataclass(frozen=True)
class FilteredValue:
    """A value, or a gradient of values, for the tensors whose names contain `filter`."""

    value: Scalar | tuple[Scalar, ...]
    filter: str | None = None


ParameterValue = Scalar | tuple[Scalar, ...] | tuple[FilteredValue, ...]
Parameters = Mapping[str, ParameterValue]


def no_parameters() -> Parameters:
    """An empty set of parameters."""
    return MappingProxyType({})


def _is_gradient(value: ParameterValue) -> bool:
    if not isinstance(value, tuple):
        return False
    inner = [item.value for item in value if isinstance(item, FilteredValue)]
    return any(isinstance(part, tuple) and len(part) > 1 for part in inner) or (
        not inner and len(value) > 1
    )


@dataclass(frozen=True)
class ModelRef:
    """A model as recipes name it: `path@revision+lora`, where path is a folder or a hub name."""

    path: str
    revision: str | None = None
    lora: str | None = None
    lora_revision: str | None = None

    def __str__(self) -> str:
        base = f"{self.path}@{self.revision}" if self.revision else self.path
        if self.lora is None:
            return base
        return f"{base}+{self.lora}" + (f"@{self.lora_revision}" if self.lora_revision else "")

    @property
    def base(self) -> str:
        """The model without its adapter."""
        return str(ModelRef(self.path, self.revision))

    @property
    def adapter(self) -> str | None:
        """The adapter, if there is one."""
        return str(ModelRef(self.lora, self.lora_revision)) if self.lora else None

    def to_yaml_value(self) -> Any:
        """The model in YAML: a string, or a mapping if the path itself contains `+` or `@`."""
        if not {"+", "@"} & set(f"{self.path}{self.lora or ''}"):
            return str(self)
        model = {"path": self.path} | ({"revision": self.revision} if self.revision else {})
        if self.lora is None:
            return {"model": model}
        revision = {"revision": self.lora_revision} if self.lora_revision else {}
        return {"model": model, "lora": {"path": self.lora} | revision}


@dataclass(frozen=True)
class Source:
    """An input of a merge; `layers` is the half-open range that a slice takes of it."""

    model: ModelRef
    parameters: Parameters = field(default_factory=no_parameters)
    layers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Slice:
    """Layers of the output, and the inputs that they are made of."""

    sources: tuple[Source, ...]
    parameters: Parameters = field(default_factory=no_parameters)
    base_model: ModelRef | None = None


@dataclass(frozen=True)
class MergeRecipe:
    """A merge as MergeKit's YAML describes it.

    Either `models` or `slices` is filled; `mergekit_keys` are the keys that only MergeKit acts on,
    `chat_template` is the value of that key, or empty.
    `random_seed` is ours: the seed of a method that draws at random. `text` is the YAML itself,
    `name` the file it came from.
    """

    method: str
    models: tuple[Source, ...] = ()
    slices: tuple[Slice, ...] = ()
    base_model: ModelRef | None = None
    parameters: Parameters = field(default_factory=no_parameters)
    dtype: str | None = None
    out_dtype: str | None = None
    mergekit_keys: tuple[str, ...] = ()
    chat_template: str = ""
    random_seed: int | None = None
    text: str = field(default="", compare=False)
    name: str = field(default="recipe", compare=False)

    @cached_property
    def inputs(self) -> tuple[ModelRef, ...]:
        """The models in the order of the recipe, without repeats; a base not listed comes last."""
        models = [source.model for source in self._sources()]
        bases = [part.base_model for part in self.slices] + [self.base_model]
        return tuple(dict.fromkeys([*models, *(base for base in bases if base is not None)]))

    @property
    def base(self) -> ModelRef:
        """The model whose configuration and tokenizer the merge gets: base or first input."""
        return self.base_model or self.inputs[0]

    @property
    def has_gradients(self) -> bool:
        """Whether a parameter has several values that are spread over the layers."""
        scopes = [self.parameters, *(part.parameters for part in self.slices)]
        scopes += [source.parameters for source in self._sources()]
        return any(_is_gradient(value) for scope in scopes for value in scope.values())

    def _sources(self) -> Iterator[Source]:
        yield from self.models
        for part in self.slices:
            yield from part.sources

    def to_dict(self) -> dict[str, Any]:
        """The YAML as dicts, lists and scalars."""
        return dict(parse_yaml(self.text, self.name).value())

    def mergekit_only_feature(self, *, live: bool = False) -> str | None:
        """What the recipe has that only MergeKit can merge; None if it has no such thing.

        `live` asks about a merge in memory, which has more methods than the streaming engine.
        """
        method = find_method(self.method)
        if method is None or not (live or method.streams):
            return f"the method `{self.method}`"
        scopes = [self.parameters, *(part.parameters for part in self.slices)]
        parameters = [name for scope in scopes for name in scope]
        has_base = any([self.base_model, *(part.base_model for part in self.slices)])
        feature = method.unsupported_feature(parameters, has_base=has_base)
        if feature:
            return feature
        if self.mergekit_keys:
            return f"`{self.mergekit_keys[0]}`"
        return None if self._keeps_layers_in_place() else MOVED_LAYERS

    def _keeps_layers_in_place(self) -> bool:
        """Whether each slice takes the same layers of all inputs, one slice after another."""
        end = 0
        for part in self.slices:
            ranges = {source.layers for source in part.sources}
            start, stop = next(iter(ranges)) or (0, 0)
            if len(ranges) > 1 or start != end:
                return False
            end = stop
        return True
