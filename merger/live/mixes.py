"""How much of each input goes into a tensor, said in one of several ways, as weights of a sum.

Linear, SLERP and MergeKit 0.1.5's `multislerp` are all weighted sums of the inputs as they are;
the weights of the latter two depend on the tensors only through their norms and cosines.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from merger.kernels.dispatch import Moments, slerp_weights
from merger.kernels.weighted_sums import WeightedSum, linear_sum
from patientdx.errors import MergeError

METHODS = ("linear", "slerp", "multislerp")
EPSILON = 1e-8  # what multislerp adds to norms
_CANCELLED = 1e-6  # lengths of means of unit vectors that are nothing but rounding


class TensorMix(NamedTuple):
    """A method, and one weight an input that say how much of it there is.

    A linear sum is `divided` by that of the weights.
    """

    method: str
    weights: tuple[float, ...]
    divided: bool = True


TensorPoint: TypeAlias = float | Sequence[float] | TensorMix
"""One λ of two inputs (0: the first, which is the base), one weight an input, or a mix."""

MergePoint: TypeAlias = (
    TensorPoint | Mapping[str, TensorPoint] | Callable[[str], TensorPoint | None]
)
"""A spot for all tensors, or one for each by its name; where there is none the plan's counts."""


def tensor_point(point: MergePoint, name: str) -> TensorPoint | None:
    """What a point says of a tensor."""
    if isinstance(point, Mapping):
        return point.get(name)
    return point(name) if callable(point) else point


def resolve_mix(spot: TensorPoint, method: str, inputs: int, base: int = 0) -> TensorMix:
    """The mix of a spot that names no method of its own; weights are made to add up to 1.

    Raises MergeError for what is no mix of so many inputs.
    """
    if isinstance(spot, TensorMix):
        method, spot = spot.method, spot.weights
    if isinstance(spot, int | float):
        spot = _split_lambda(float(spot), inputs, base)
    weights = tuple(float(weight) for weight in spot)
    total = math.fsum(weights)
    if len(weights) != inputs:
        raise MergeError(f"{len(weights)} weights were given for {inputs} models")
    if not all(weight >= 0 for weight in weights) or not 0 < total < math.inf:
        raise MergeError("weights of models must be 0 or more, and not all 0")
    if method not in METHODS:
        raise MergeError(f"a live merge knows {', '.join(METHODS)}; not `{method}`")
    if method == "slerp" and inputs != 2:
        raise MergeError(
            f"slerp is for two models, and there are {inputs}", hint="multislerp takes any number"
        )
    return TensorMix(method, weights if total == 1 else tuple(weight / total for weight in weights))


def _split_lambda(t: float, inputs: int, base: int) -> tuple[float, ...]:
    if inputs != 2:
        raise MergeError(f"a single λ is for two models, and there are {inputs}: give weights")
    if not 0 <= t <= 1:
        raise MergeError(f"λ is {t:g}, and must lie between 0 and 1")
    return (1 - t, t) if base == 0 else (t, 1 - t)


class PairMoments(NamedTuple):
    """Norms of the inputs' tensors of one name, and the moments of every two of them."""

    moments: Mapping[tuple[int, int], Moments]
    wide: bool = False

    def cosine(self, one: int, other: int) -> float:
        """The cosine of two inputs, as SLERP takes it."""
        return self.moments[min(one, other), max(one, other)].cosine

    def norm(self, one: int) -> float:
        """The norm of an input."""
        pair = next(pair for pair in self.moments if one in pair)
        found = self.moments[pair]
        first = one == pair[0]
        squares, exponent = (found.aa, found.ea) if first else (found.bb, found.eb)
        return math.ldexp(math.sqrt(squares), exponent)


def weighted_sum(mix: TensorMix, pairs: PairMoments) -> WeightedSum:
    """The sum that a mix is. An input that is all of it is taken as it is.

    Raises MergeError where multislerp has no direction to go.
    """
    if sorted(mix.weights, key=abs) == [0.0] * (len(mix.weights) - 1) + [1.0]:
        return WeightedSum(mix.weights)
    if mix.method == "linear":
        return linear_sum(mix.weights, divided=mix.divided, wide=pairs.wide)
    if mix.method == "slerp":
        return WeightedSum(slerp_weights(mix.weights[1], pairs.cosine(0, 1), wide=pairs.wide))
    return WeightedSum(_multislerp(mix.weights, pairs))


def _multislerp(weights: tuple[float, ...], pairs: PairMoments) -> tuple[float, ...]:
    """MergeKit's multislerp without a base, as weights.

    With unit vectors uᵢ = xᵢ / (‖xᵢ‖ + ε) and m = Σ wᵢ uᵢ it projects onto the tangent space at
    m / ‖m‖. There Σ wᵢ (uᵢ - (uᵢ·m) m / ‖m‖²) = m - m = 0: nothing is left to walk, and what
    comes out is (Σ wᵢ ‖xᵢ‖) m / ‖m‖, but for its rounding.
    """
    count = range(len(weights))
    norms = [pairs.norm(i) for i in count]
    sizes = [norm / (norm + EPSILON) for norm in norms]
    squares = [
        weights[i] * weights[j] * sizes[i] * sizes[j] * (1.0 if i == j else pairs.cosine(i, j))
        for i in count
        for j in count
    ]
    length = math.sqrt(max(0.0, math.fsum(squares)))
    if length < _CANCELLED:
        if len(weights) == 2:
            return weights
        raise MergeError("multislerp has no mean of tensors that cancel each other")
    size = math.fsum(w * norm for w, norm in zip(weights, norms, strict=True))
    return tuple(
        size * w / (length * (norm + EPSILON)) for w, norm in zip(weights, norms, strict=True)
    )
