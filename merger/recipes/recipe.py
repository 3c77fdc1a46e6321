"""Merge recipes: MergeKit's YAML as values.

`linear` and `slerp` are understood in full; of other methods, and of the keys that only MergeKit
acts on, the text is kept and handed to MergeKit as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .yaml_lines import Scalar, parse_yaml

OURS = ("linear", "slerp")
"""The methods that the streaming engine has; every other one is MergeKit's."""
LIVE = (*OURS, "multislerp")
"""The methods that a merge in memory has."""


@dataclass(frozen=True)
class FilteredValue:
    """A value, or a gradient of values, for the tensors whose names contain `filter`."""

    value: Scalar | tuple[Scalar, ...]
    filter: str | None = None


MOVED_LAYERS = "slices that move, drop or repeat layers"
"""What only MergeKit can do."""

ParameterValue = Scalar | tuple[Scalar, ...] | tuple[FilteredValue, ...]
Parameters = Mapping[str, ParameterValue]


def no_parameters() -> Parameters:
    """What a recipe says where it says nothing."""
    return MappingProxyType({})


@dataclass(frozen=True)
class ModelRef:
    """A model as recipes name it: `path@revision+lora`, where path is a folder or a hub's name."""

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
        """As YAML has it: a string, or a mapping where the name has a `+` or `@` of its own."""
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

    Either `models` or `slices` is filled; `mergekit_keys` are the keys that
    only MergeKit acts on. `text` is the YAML itself, `name` the file it came from.
    """

    method: str
    models: tuple[Source, ...] = ()
    slices: tuple[Slice, ...] = ()
    base_model: ModelRef | None = None
    parameters: Parameters = field(default_factory=no_parameters)
    dtype: str | None = None
    out_dtype: str | None = None
    mergekit_keys: tuple[str, ...] = ()
    text: str = field(default="", compare=False)
    name: str = field(default="recipe", compare=False)

    @property
    def inputs(self) -> tuple[ModelRef, ...]:
        """The models in the order they are named, each once; a base that is no input comes last."""
        named = [source.model for source in self._sources()]
        more = [each.base_model for each in self.slices] + [self.base_model]
        return tuple(dict.fromkeys([*named, *(one for one in more if one is not None)]))

    @property
    def base(self) -> ModelRef:
        """Where configuration and tokenizer come from: `base_model`, or the first input."""
        return self.base_model or self.inputs[0]

    def _sources(self) -> Iterator[Source]:
        yield from self.models
        for each in self.slices:
            yield from each.sources

    def to_dict(self) -> dict[str, Any]:
        """The YAML as plain values."""
        return dict(parse_yaml(self.text, self.name).value())

    def mergekit_only_feature(self, *, live: bool = False) -> str | None:
        """Why only MergeKit can do this recipe on disk, or `live` in memory; None where we can."""
        if self.method not in (LIVE if live else OURS):
            return f"the method `{self.method}`"
        reason = self._multislerp_feature() if self.method == "multislerp" else None
        if reason:
            return reason
        if self.mergekit_keys:
            return f"`{self.mergekit_keys[0]}`"
        end = 0
        for each in self.slices:
            ranges = {source.layers for source in each.sources}
            start, stop = next(iter(ranges)) or (0, 0)
            if len(ranges) > 1 or start != end:
                return MOVED_LAYERS
            end = stop
        return None

    def _multislerp_feature(self) -> str | None:
        """What its multislerp has and ours has not."""
        if self.base_model or any(each.base_model for each in self.slices):
            return "multislerp around a `base_model`"
        scopes = [self.parameters, *(each.parameters for each in self.slices)]
        return "multislerp with an `eps`" if any("eps" in scope for scope in scopes) else None
