"""The weight of each input in each tensor, resolved from a recipe exactly as MergeKit 0.1.5 does.

A parameter is a value, a gradient (values spread evenly over the layers, with straight lines
between them) or a list of either with filters; the first filter that is part of the tensor's name
applies. The parameters of a slice's input come before those of the slice, and those before the
recipe's. Tensors outside the layers take the first value of a gradient, also those after the last
layer; in a model with a single layer, the layer takes the last value.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property

from merger.families.layout import BEFORE_LAYERS
from merger.methods.method import TensorWeights
from merger.methods.registry import get_method
from patientdx.errors import MergeError

from .recipe import FilteredValue, MergeRecipe, Parameters, ParameterValue, Slice, Source
from .yaml_nodes import Scalar

ScalarParser = Callable[[Scalar], float]
"""Reads a scalar of a recipe: `_parse_number`, or `_parse_bool`, which returns a bool."""

_LAYER = re.compile(r"\.(\d+)\.")
_TRUE = ("true", "yes", "on", "t", "y", "1")
_FALSE = ("false", "no", "off", "f", "n", "0")


class WeightSchedule:
    """The weights of all tensors by a recipe, for models of `layers` layers.

    `stacks` are the numbers of layers by prefix, for models that have several stacks (an encoder
    and a decoder, text and vision) or other numbered modules: a gradient then runs over each
    stack. Without it any number in a name is that of a layer. Tensors `beyond` the layers, such as
    those of layers that predict further tokens, are outside of them. Raises MergeError for slices
    that do not cover these layers, and for slices of a model with several stacks, which MergeKit
    has no rule for either.
    """

    def __init__(
        self,
        recipe: MergeRecipe,
        layers: int,
        stacks: Mapping[str, int] | None = None,
        *,
        beyond: Collection[str] = (),
    ) -> None:
        self._recipe = recipe
        self._stacks = stacks
        self._beyond = beyond
        if recipe.slices and stacks and len(stacks) > 1:
            raise MergeError(
                f"the recipe has `slices`, and the models have {len(stacks)} stacks of layers: "
                f"{', '.join(stacks)}",
                hint="merge all of their layers: put the models under `models:`",
            )
        lengths = {layers, *(stacks or {}).values()}
        self._layers = {length: _slice_positions(recipe, length) for length in lengths}
        self._slices = list(_slices(recipe, layers))

    def weights_of(self, tensor: str) -> TensorWeights:
        """The weights of a tensor. Raises MergeError if the recipe does not set them."""
        place = None if tensor in self._beyond else self._place(tensor)
        if place is None:
            part, position = self._slices[0 if BEFORE_LAYERS.search(tensor) else -1], 0.0
        else:
            layer, positions = place
            if layer >= len(positions):
                raise MergeError(
                    f"{tensor}: beyond the {len(positions)} layers that config.json has"
                )
            part, position = positions[layer]
        parameters = _SliceParameters(self._recipe, part, tensor, position)
        return get_method(self._recipe.method).resolve_weights(parameters)

    def _place(self, tensor: str) -> tuple[int, list[tuple[Slice, float]]] | None:
        """The layer of a tensor and the positions of its stack; None outside of layers."""
        match = _LAYER.search(tensor)
        if match is None:
            return None
        number = int(match.group(1))
        if self._stacks is None:
            return number, next(iter(self._layers.values()))
        length = self._stacks.get(tensor[: match.start()])
        return None if length is None else (number, self._layers[length])


def _slice_positions(recipe: MergeRecipe, layers: int) -> list[tuple[Slice, float]]:
    """The slice of each layer, and the layer's position in it from 0 to 1."""
    positions: list[tuple[Slice, float]] = []
    for part in _slices(recipe, layers):
        start, stop = part.sources[0].layers or (0, 0)
        last = stop - start - 1
        positions += [(part, layer / last if last > 0 else 1.0) for layer in range(stop - start)]
    if len(positions) != layers:
        raise MergeError(
            f"the recipe's slices have {len(positions)} layers, the models {layers}",
            hint="--engine mergekit can leave layers out",
        )
    return positions


class _SliceParameters:
    """The parameters of one tensor in a slice; a `TensorParameters` of `merger.methods`."""

    def __init__(self, recipe: MergeRecipe, part: Slice, tensor: str, position: float) -> None:
        self._recipe = recipe
        self._slice = part
        self._position = position
        self.tensor = tensor
        self.inputs = len(recipe.inputs)

    @cached_property
    def _sources(self) -> dict[int, Source]:
        models = self._recipe.inputs
        return {models.index(source.model): source for source in self._slice.sources}

    @property
    def sources(self) -> Sequence[int]:
        """The inputs that take part in this tensor, in the order of the recipe."""
        return tuple(self._sources)

    @property
    def base(self) -> int | None:
        """The input that is the base model."""
        base = self._slice.base_model or self._recipe.base_model
        return None if base is None else self._recipe.inputs.index(base)

    def number(
        self, parameter: str, source: int | None = None, default: float | None = None
    ) -> float:
        """Value of a parameter, of one source where given, or the default.

        Raises MergeError if it is not set and has no default.
        """
        own = () if source is None else (self._sources[source].parameters,)
        scopes = (*own, self._slice.parameters, self._recipe.parameters)
        value = _resolve_parameter(parameter, scopes, self.tensor, self._position, _parse_number)
        if value is None:
            value = default
        if value is not None:
            return value
        target = self.tensor
        if source is not None:
            target = f"{self.tensor} of {self._recipe.inputs[source]}"
        raise MergeError(
            f"the recipe gives no `{parameter}` for {target}",
            hint=f"end the list of `{parameter}` with a `- value: ...` that has no filter",
        )

    def switch(self, parameter: str) -> bool | None:
        """Value of a true-or-false parameter; None if it is not set."""
        scopes = (self._slice.parameters, self._recipe.parameters)
        value = _resolve_parameter(parameter, scopes, self.tensor, 0.0, _parse_bool)
        return None if value is None else bool(value)


def _slices(recipe: MergeRecipe, layers: int) -> Iterator[Slice]:
    """The recipe's slices, or one slice of all layers for `models`; it includes the base model."""
    if recipe.slices:
        yield from recipe.slices
        return
    sources = [Source(source.model, source.parameters, (0, layers)) for source in recipe.models]
    if recipe.base_model and recipe.base_model not in {source.model for source in sources}:
        sources.append(Source(recipe.base_model, layers=(0, layers)))
    yield Slice(tuple(sources))


def _resolve_parameter(
    parameter: str,
    scopes: Sequence[Parameters],
    tensor: str,
    position: float,
    parse: ScalarParser,
) -> float | None:
    for scope in scopes:
        if parameter in scope:
            value = _evaluate(scope[parameter], tensor, position, parse)
            if value is not None:
                return value
    return None


def _evaluate(
    setting: ParameterValue, tensor: str, position: float, parse: ScalarParser
) -> float | None:
    if not isinstance(setting, tuple):
        return parse(setting)
    plain = tuple(item for item in setting if not isinstance(item, FilteredValue))
    if len(plain) == len(setting):
        return _interpolate(plain, position, parse) if plain else None
    for item in setting:
        if isinstance(item, FilteredValue):
            applies = item.filter in {None, "*"} or str(item.filter) in tensor
            if applies:
                return _evaluate(item.value, tensor, position, parse)
    return None


def _interpolate(values: tuple[Scalar, ...], position: float, parse: ScalarParser) -> float:
    """The value of a gradient at a position from 0 to 1; truth values are not interpolated."""
    points = [parse(value) for value in values]
    scaled = position * (len(points) - 1)
    first = int(scaled)
    if any(isinstance(point, bool) for point in points):
        return points[first]
    fraction = scaled - first
    following = points[min(len(points) - 1, first + 1)]
    return (1 - fraction) * points[first] + fraction * following


def _parse_number(value: Scalar) -> float:
    try:
        return float(value)
    except ValueError:
        raise MergeError(
            f"the recipe has `{value}` where a number belongs", hint="correct the recipe"
        ) from None


def _parse_bool(value: Scalar) -> bool:
    text = str(value).lower().removesuffix(".0")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise MergeError(
        f"the recipe has `{value}` where true or false belongs", hint="correct the recipe"
    )
