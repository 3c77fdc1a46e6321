"""What a merge method is: what recipes may say of it, and the sum that it computes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from merger.kernels.delta_sums import TensorSum
from merger.kernels.pair_moments import PairMoments
from patientdx.errors import MergeError

COPY = "copy"
"""In place of a method's name: the tensor of one input as it is."""


class DeltaOptions(NamedTuple):
    """What a sum of differences needs beside weights: the base, and a factor of the whole sum."""

    base: int
    scale: float = 1.0


class TensorWeights(NamedTuple):
    """How one tensor is made: the method, and one weight per input, in the order of the inputs.

    `linear`: the factors of the inputs, and whether the sum is `divided` by the sum of the factors.
    `slerp`: 1 - t for the base and t for the other input. `multislerp`: weights that add up to 1
    unless the recipe turns that off. `copy`: 1 for the input that is copied, 0 for the others.
    `task_arithmetic`: 1 for the base, and the factor of the difference of each other input from
    it; `deltas` then has the base.
    """

    method: str
    weights: tuple[float, ...]
    divided: bool = True
    deltas: DeltaOptions | None = None


class TensorParameters(Protocol):
    """A recipe's parameters as they apply to one tensor. Inputs are numbered from 0."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        ...

    @property
    def inputs(self) -> int:
        """Number of inputs of the merge."""
        ...

    @property
    def sources(self) -> Sequence[int]:
        """The inputs that take part in this tensor, in the order of the recipe."""
        ...

    @property
    def base(self) -> int | None:
        """The input that is the base model."""
        ...

    def number(
        self, parameter: str, source: int | None = None, default: float | None = None
    ) -> float:
        """Value of a parameter, of one source where given, or the default.

        Raises MergeError if it is not set and has no default.
        """
        ...

    def switch(self, parameter: str) -> bool | None:
        """Value of a true-or-false parameter; None if it is not set."""
        ...


class SumFunction(Protocol):
    """The factors of the inputs, from the weights of a tensor and the moments of the inputs."""

    def __call__(self, tensor: TensorWeights, moments: PairMoments, *, wide: bool) -> TensorSum:
        """The factors; `wide` is for arithmetic in float64."""
        ...


@dataclass(frozen=True)
class MergeMethod:
    """A merge method whose result is a sum over the inputs.

    `name` is its name in recipes (`merge_method`), `inputs` the exact number of inputs (None: any
    number). `streams` says that the streaming engine writes it to disk; other methods are for live
    merges, and MergeKit writes them. `needs_moments` says that the sum depends on the norms and
    cosines of the inputs. `sums_deltas` says that the weights are factors of differences from the
    base, which need not add up to 1.

    Recipes: `lambda_parameter` is the parameter that holds λ for the whole recipe (None: each model
    has a `weight`); its values must lie between 0 and 1. `base_role` explains why a `base_model`
    is required (None: it is not), `allows_base` says that naming one does not change the method.
    `mergekit_parameters` are parameters that only MergeKit acts on.

    `resolve_weights` finds the weights of a tensor from the recipe's parameters. `compute_sum`
    turns these weights into the factors of the inputs; it may use moments only if it
    `needs_moments`.
    """

    name: str
    resolve_weights: Callable[[TensorParameters], TensorWeights]
    compute_sum: SumFunction
    inputs: int | None = None
    streams: bool = True
    needs_moments: bool = False
    sums_deltas: bool = False
    lambda_parameter: str | None = None
    base_role: str | None = None
    allows_base: bool = True
    mergekit_parameters: tuple[str, ...] = ()

    def unsupported_feature(self, parameters: Sequence[str], *, has_base: bool) -> str | None:
        """A feature of a recipe that this method lacks and MergeKit's has; None if there is none.

        `parameters` are the names of the parameters that the recipe sets.
        """
        if has_base and not self.allows_base:
            return f"{self.name} around a `base_model`"
        unsupported = (name for name in self.mergekit_parameters if name in parameters)
        return next((f"{self.name} with an `{name}`" for name in unsupported), None)


def simplify_weights(method: str, weights: Sequence[float]) -> TensorWeights:
    """Weights as a copy where one of them is 1 and the others are 0.

    A copy keeps the bytes of the input, including the signs of zeros.
    """
    is_copy = sorted(weights, key=abs) == [0.0] * (len(weights) - 1) + [1.0]
    return TensorWeights(COPY if is_copy else method, tuple(weights))


def simplify_deltas(tensor: TensorWeights) -> TensorWeights:
    """A sum of differences as a copy of its base where no difference counts."""
    assert tensor.deltas is not None
    base = tensor.deltas.base
    if tensor.deltas.scale and any(w for i, w in enumerate(tensor.weights) if i != base):
        return tensor
    return TensorWeights(COPY, tuple(float(i == base) for i in range(len(tensor.weights))))


def read_model_weights(parameters: TensorParameters, switch: str) -> tuple[list[float], bool]:
    """The `weight` of each input, 0 for inputs that take no part, and whether to normalize.

    `switch` names the recipe's parameter that turns normalization off. Raises MergeError for
    weights that add up to 0 and are to be normalized.
    """
    weights = {source: parameters.number("weight", source) for source in parameters.sources}
    normalize = parameters.switch(switch) is not False
    if normalize and sum(weights.values()) == 0:
        raise MergeError(
            f"the weights of {parameters.tensor} add up to 0",
            hint=f"or add `{switch}: false` to the recipe",
        )
    return [weights.get(source, 0.0) for source in range(parameters.inputs)], normalize
