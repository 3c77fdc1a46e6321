from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

API_VERSION: int

def variants() -> tuple[str, ...]: ...
def moments(variant: str, a: Array, a_kind: int, b: Array, b_kind: int, sums: Array, /) -> None: ...
def combine(
    variant: str,
    inputs: tuple[Array, ...],
    kinds: bytes,
    weights: Array,
    outputs: tuple[Array, ...],
    kind: int,
    past_caches: bool,
    /,
) -> bool: ...
def deltas(
    variant: str,
    inputs: tuple[Array, ...],
    kinds: bytes,
    weights: Array,
    outputs: tuple[Array, ...],
    kind: int,
    past_caches: bool,
    /,
) -> bool: ...
