"""The merge methods of MergeKit 0.1.5: their parameters, and which of them draw at random.

The table is kept here because MergeKit itself passes over a parameter that its method does not
have, and because recipes are read without MergeKit. Every parameter may have filters and
gradients: MergeKit works out each of them tensor by tensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SEEDS = 1 << 32
"""The number of seeds: they are whole numbers below it, as NumPy and MergeKit take them."""

Kind = Literal["number", "whole number", "switch"]
Scope = Literal["recipe", "model", "model but the base"]
"""Where a parameter applies: to a whole recipe, slice or module; or to each model, and then a
value further up is the default of all models."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method: the kind of its values, where it applies, and its limits."""

    name: str
    kind: Kind = "number"
    scope: Scope = "recipe"
    lowest: float | None = None
    highest: float | None = None
    above_lowest: bool = False
    """Whether `lowest` itself is out of range."""


@dataclass(frozen=True)
class MergeKitMethod:
    """A method: its parameters by name, and whether it draws random numbers."""

    name: str
    parameters: Mapping[str, Parameter]
    is_random: bool = False


_WEIGHT = Parameter("weight", scope="model but the base")
_DENSITY = Parameter("density", scope="model but the base", lowest=0, highest=1)
_GAMMA = Parameter("gamma", scope="model but the base", lowest=0, highest=1)
_EPSILON = Parameter("epsilon", scope="model but the base", lowest=0, highest=0.5)
_INT8_MASK = Parameter("int8_mask", "switch")
_TASK_VECTORS = (
    *(_INT8_MASK, Parameter("normalize", "switch"), Parameter("rescale", "switch")),
    *(Parameter("lambda"), _WEIGHT, _DENSITY),
)
_SMALL = Parameter("epsilon", lowest=0)


def _method(name: str, *parameters: Parameter, is_random: bool = False) -> MergeKitMethod:
    by_name = {parameter.name: parameter for parameter in parameters}
    return MergeKitMethod(name, MappingProxyType(by_name), is_random)


_METHODS = (
    _method("linear", Parameter("weight", scope="model"), Parameter("normalize", "switch")),
    _method("slerp", Parameter("t", lowest=0, highest=1)),
    _method(
        "nuslerp",
        *(_WEIGHT, Parameter("nuslerp_row_wise", "switch"), Parameter("nuslerp_flatten", "switch")),
    ),
    _method(
        "multislerp",
        *(_WEIGHT, Parameter("normalize_weights", "switch")),
        Parameter("eps", lowest=0, above_lowest=True),
    ),
    _method("karcher", Parameter("max_iter", "whole number", lowest=1), Parameter("tol", lowest=0)),
    _method("task_arithmetic", *_TASK_VECTORS),
    _method("ties", *_TASK_VECTORS),
    _method("dare_linear", *_TASK_VECTORS, is_random=True),
    _method("dare_ties", *_TASK_VECTORS, is_random=True),
    _method("della", *_TASK_VECTORS, _EPSILON, is_random=True),
    _method("della_linear", *_TASK_VECTORS, _EPSILON, is_random=True),
    _method("breadcrumbs", *_TASK_VECTORS, _GAMMA),
    _method("breadcrumbs_ties", *_TASK_VECTORS, _GAMMA),
    _method("sce", _INT8_MASK, Parameter("select_topk", lowest=0, highest=1)),
    _method("ram", _SMALL),
    _method("ramplus_tl", Parameter("r", lowest=0), Parameter("alpha", lowest=0), _SMALL),
    _method("model_stock", Parameter("filter_wise", "switch")),
    _method("nearswap", Parameter("t", lowest=0)),
    # It estimates quantiles of a tensor of more than a million numbers from a random sample.
    _method("arcee_fusion", is_random=True),
    _method("passthrough", Parameter("scale", scope="model")),
)
MERGEKIT_METHODS: Mapping[str, MergeKitMethod] = MappingProxyType(
    {method.name: method for method in _METHODS}
)


def is_random_method(name: str) -> bool:
    """Whether a method draws random numbers, so that its result depends on a seed."""
    method = MERGEKIT_METHODS.get(name)
    return method is not None and method.is_random


def random_method_names() -> tuple[str, ...]:
    """Names of the methods that draw random numbers."""
    return tuple(name for name, method in MERGEKIT_METHODS.items() if method.is_random)
