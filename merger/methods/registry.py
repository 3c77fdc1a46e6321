"""The merge methods that PatientDx carries out itself. MergeKit runs all other methods.

To add a method whose result is a weighted sum of the inputs:

1. write `merger/methods/NAME.py` with one `MergeMethod` value;
2. add the value to `_METHODS` below: recipes, plans, both engines and live merges look it up here;
3. test its weights against a formula (`tests/merger/test_mixes.py`) and its tensors against
   MergeKit (`tests/merger/test_peers.py` on disk, `test_live_recipes.py` in memory);
4. list it in `docs/method/merging.md`.

The streaming engine measures moments of two inputs only, so a method that `needs_moments` and
takes more inputs is for live merges (`streams=False`).

A method whose result is a sum of differences from a base (`sums_deltas`) returns a `DeltaSum`
instead, as task_arithmetic does. A method of another form also needs a kernel: a function in
`merger/kernels/native`, its twin in `merger/kernels/numpy_kernels.py`, a class for its factors
beside `DeltaSum`, and a branch in `merger/kernels/dispatch.py` and `merger/live/torch_weights.py`.
"""

from types import MappingProxyType

from merger.kernels.delta_sums import TensorSum
from merger.kernels.pair_moments import PairMoments
from merger.kernels.weighted_sums import WeightedSum
from patientdx.errors import MergeError

from .linear import LINEAR
from .method import COPY, MergeMethod, TensorWeights, simplify_weights
from .multislerp import MULTISLERP
from .slerp import SLERP
from .task_arithmetic import TASK_ARITHMETIC

_METHODS = MappingProxyType(
    {method.name: method for method in (LINEAR, SLERP, MULTISLERP, TASK_ARITHMETIC)}
)


def method_names(*, streaming_only: bool = False) -> tuple[str, ...]:
    """Names of all methods, or only of those that the streaming engine carries out."""
    return tuple(name for name, method in _METHODS.items() if method.streams or not streaming_only)


def find_method(name: str) -> MergeMethod | None:
    """The method of a name; None where only MergeKit may have it."""
    return _METHODS.get(name)


def sums_deltas(name: str) -> bool:
    """Whether a method of ours sums differences from a base, which a merge by it has to name."""
    method = find_method(name)
    return method is not None and method.sums_deltas


def get_method(name: str) -> MergeMethod:
    """The method of a name. Raises MergeError for an unknown one."""
    method = _METHODS.get(name)
    if method is None:
        raise MergeError(f"there is no method `{name}`; known are {', '.join(_METHODS)}")
    return method


def compute_sum(tensor: TensorWeights, moments: PairMoments, *, wide: bool = False) -> TensorSum:
    """The sum of all inputs that makes a tensor. An input of weight 1, alone, is copied.

    Raises MergeError where the method has no result, such as multislerp of tensors that cancel.
    """
    if COPY in {tensor.method, simplify_weights(tensor.method, tensor.weights).method}:
        return WeightedSum(tensor.weights)
    return get_method(tensor.method).compute_sum(tensor, moments, wide=wide)
