"""MergeKit's random methods with a seed: each tensor draws from a generator of its own.

MergeKit draws from torch's global generator, tensor after tensor in the order of its task graph.
Without a seed its results differ from run to run; with its option `random_seed` the numbers of a
tensor depend on which tensors came before it, and on every other use of torch in the process.
Here they depend on the seed and the name of the tensor only.

The same numbers are not enough for the same bytes: torch adds the numbers of a large tensor in as
many parts as it has threads, and DARE and DELLA scale by such sums (`model_stock` has one, too).
With `torch_threads` the order of additions is the same on every machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

_PREFIX = "seeded_"
_SEED = "random_seed"


def seed_recipe(recipe: dict[str, Any], seed: int) -> dict[str, Any]:
    """A recipe of a random method, by the seeded form of that method.

    The form is registered with MergeKit, which looks methods up by name.
    """
    name = _PREFIX + recipe["merge_method"]
    _register_seeded_form(recipe["merge_method"], name)
    parameters = {**(recipe.get("parameters") or {}), _SEED: seed}
    return {**recipe, "merge_method": name, "parameters": parameters}


def tensor_seed(seed: int, tensor: str) -> int:
    """The seed of one tensor's generator, a number of 63 bits."""
    digest = blake2b(f"{seed} {tensor}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Let torch compute with a number of threads; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _register_seeded_form(method: str, name: str) -> None:
    """Adds a form of a MergeKit method to MergeKit's registry, unless it is there."""
    from dataclasses import replace

    import torch
    from mergekit import merge_methods
    from mergekit.merge_methods.base import (
        GroupMergeMethod,
        ParameterScope,
        ParameterSpec,
        TensorGroup,
    )

    if name in {registered.spec.name for registered in merge_methods.registered_methods()}:
        return
    original = merge_methods.get(method)
    seed_parameter = ParameterSpec(_SEED, int, ParameterScope.SHARED)
    parameters = (*original.spec.parameters, seed_parameter)

    class SeededMethod(GroupMergeMethod):  # type: ignore[misc]
        """The method, with torch's generator seeded for each tensor and put back afterwards."""

        spec = replace(original.spec, name=name, parameters=parameters)

        def merge_group(self, group: TensorGroup, /, **values: Any) -> torch.Tensor:
            """The merged tensor of a group."""
            seed = tensor_seed(values.pop(_SEED), str(group.metadata.name))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return original.merge_group(group, **values)

    merge_methods.register(SeededMethod())
