"""How much of each input goes into each tensor, exactly as MergeKit 0.1.5 works it out.

A setting is a value, a gradient (values spread evenly over the layers, with straight lines
between) or a list of either with filters, of which the first whose text is part of the tensor's
name counts. Settings of a slice's input come before those of the slice, those before the
recipe's. Tensors outside layers take the beginning of a gradient, also those after the last layer;
a model of a single layer takes its end.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from patientdx.errors import MergeError

from .recipe import FilteredValue, MergeRecipe, ModelRef, Parameters, ParameterValue, Slice, Source
from .yaml_lines import Scalar

Method = Literal["linear", "slerp", "multislerp", "copy"]
ScalarParser = Callable[[Scalar], float]
"""A scalar as a parameter takes it: `_parse_number`, or `_truth`, whose values are bool."""

_LAYER = re.compile(r"\.(\d+)\.")
_BEFORE_LAYERS = re.compile(r"embed(?!_out)|\bwte\b|\bwpe\b")
_TRUE = ("true", "yes", "on", "t", "y", "1")
_FALSE = ("false", "no", "off", "f", "n", "0")


class TensorWeights(NamedTuple):
    """How a tensor is made: the method, and one weight an input, in the order of the inputs.

    Linear: the weights that inputs are multiplied with, and whether the sum is `divided` by that
    of the weights; slerp: 1 - t for the base and t; multislerp: the weights as they are used;
    copy: 1 for the input that is copied.
    """

    method: Method
    weights: tuple[float, ...]
    divided: bool = True


class WeightSchedule:
    """The shares of a recipe's tensors, for models of `layers` layers.

    Raises MergeError for slices that do not cover those layers.
    """

    def __init__(self, recipe: MergeRecipe, layers: int) -> None:
        self._recipe = recipe
        self._inputs = recipe.inputs
        self._slices = list(_slices(recipe, layers))
        self._places: list[tuple[Slice, float]] = []
        for each in self._slices:
            start, stop = each.sources[0].layers or (0, 0)
            for at in range(stop - start):
                place = at / (stop - start - 1) if stop - start > 1 else 1.0
                self._places.append((each, place))
        if len(self._places) != layers:
            raise MergeError(
                f"the recipe's slices have {len(self._places)} layers, the models {layers}",
                hint="--engine mergekit can leave layers out",
            )

    def weights_of(self, name: str) -> TensorWeights:
        """The share of a tensor. Raises MergeError where the recipe does not say it."""
        layer = layer_number(name)
        if layer is not None:
            if layer >= len(self._places):
                raise MergeError(
                    f"{name}: beyond the {len(self._places)} layers that config.json tells"
                )
            piece, place = self._places[layer]
        else:
            piece, place = self._slices[0 if _BEFORE_LAYERS.search(name) else -1], 0.0
        if self._recipe.method == "slerp":
            return self._slerp(piece, name, place)
        if self._recipe.method == "multislerp":
            return self._multislerp(piece, name, place)
        return self._linear(piece, name, place)

    def _slerp(self, piece: Slice, name: str, place: float) -> TensorWeights:
        scopes = (piece.parameters, self._recipe.parameters)
        t = _resolve_parameter("t", scopes, name, place, _parse_number)
        if t is None:
            raise _missing_parameter("t", name)
        base = piece.base_model or self._recipe.base_model
        own = {source.model for source in piece.sources}
        weights = [
            (1 - t if model == base else t) if model in own else 0.0 for model in self._inputs
        ]
        return _tensor_weights("slerp", weights)

    def _linear(self, piece: Slice, name: str, place: float) -> TensorWeights:
        weights, divided = self._weights(piece, name, place, "normalize")
        total = sum(weights) if divided else 1.0
        copied = _tensor_weights("linear", [weight / total for weight in weights])
        return (
            copied if copied.method == "copy" else TensorWeights("linear", tuple(weights), divided)
        )

    def _multislerp(self, piece: Slice, name: str, place: float) -> TensorWeights:
        weights, divided = self._weights(piece, name, place, "normalize_weights")
        if len(piece.sources) == 1:  # MergeKit takes it as it is
            only = piece.sources[0].model
            return _tensor_weights("copy", [float(model == only) for model in self._inputs])
        total = sum(weights) if divided else 1.0
        return _tensor_weights("multislerp", [weight / total for weight in weights])

    def _weights(
        self, piece: Slice, name: str, place: float, switch: str
    ) -> tuple[list[float], bool]:
        """One weight an input, and whether they are to be divided by their sum."""
        shared = (piece.parameters, self._recipe.parameters)
        found: dict[ModelRef, float] = {}
        for source in piece.sources:
            weight = _resolve_parameter(
                "weight", (source.parameters, *shared), name, place, _parse_number
            )
            if weight is None:
                raise _missing_parameter("weight", f"{name} of {source.model}")
            found[source.model] = weight
        normalize = _resolve_parameter(switch, shared, name, 0.0, _parse_bool)
        divided = normalize is None or bool(normalize)
        if divided and sum(found.values()) == 0:
            raise MergeError(
                f"the weights of {name} add up to 0", hint=f"or add `{switch}: false` to the recipe"
            )
        return [found.get(model, 0.0) for model in self._inputs], divided


def layer_number(name: str) -> int | None:
    """The number of the layer that a tensor belongs to."""
    match = _LAYER.search(name)
    return int(match.group(1)) if match else None


def _slices(recipe: MergeRecipe, layers: int) -> Iterator[Slice]:
    """The recipe's slices; `models` are one slice of all layers, a base that is not named in it."""
    if recipe.slices:
        yield from recipe.slices
        return
    sources = [Source(one.model, one.parameters, (0, layers)) for one in recipe.models]
    if recipe.base_model and recipe.base_model not in {one.model for one in sources}:
        sources.append(Source(recipe.base_model, layers=(0, layers)))
    yield Slice(tuple(sources))


def _tensor_weights(method: Method, weights: Sequence[float]) -> TensorWeights:
    """A weight of 1 beside zeros is a copy: the same values, also of negative zeros."""
    if sorted(weights, key=abs) == [0.0] * (len(weights) - 1) + [1.0]:
        return TensorWeights("copy", tuple(weights))
    return TensorWeights(method, tuple(weights))


def _missing_parameter(parameter: str, what: str) -> MergeError:
    return MergeError(
        f"the recipe gives no `{parameter}` for {what}",
        hint=f"end the list of `{parameter}` with a `- value: ...` that has no filter",
    )


def _resolve_parameter(
    parameter: str,
    scopes: Sequence[Parameters],
    name: str,
    place: float,
    read: ScalarParser,
) -> float | None:
    for scope in scopes:
        if parameter in scope:
            value = _evaluate(scope[parameter], name, place, read)
            if value is not None:
                return value
    return None


def _evaluate(setting: ParameterValue, name: str, place: float, read: ScalarParser) -> float | None:
    if not isinstance(setting, tuple):
        return read(setting)
    plain = tuple(one for one in setting if not isinstance(one, FilteredValue))
    if len(plain) == len(setting):
        return _interpolate(plain, place, read) if plain else None
    for one in setting:
        if isinstance(one, FilteredValue) and (
            one.filter in {None, "*"} or str(one.filter) in name
        ):
            return _evaluate(one.value, name, place, read)
    return None


def _interpolate(values: tuple[Scalar, ...], place: float, read: ScalarParser) -> float:
    """The value at a place between 0 and 1; truth values have nothing between them."""
    points = [read(value) for value in values]
    scaled = place * (len(points) - 1)
    first = int(scaled)
    if any(isinstance(point, bool) for point in points):
        return points[first]
    part = scaled - first
    return (1 - part) * points[first] + part * points[min(len(points) - 1, first + 1)]


def _parse_number(value: Scalar) -> float:
    try:
        return float(value)
    except ValueError:
        raise MergeError(
            f"the recipe has `{value}` where a number belongs", hint="mend the recipe"
        ) from None


def _parse_bool(value: Scalar) -> bool:
    text = str(value).lower().removesuffix(".0")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise MergeError(
        f"the recipe has `{value}` where true or false belongs", hint="mend the recipe"
    )
