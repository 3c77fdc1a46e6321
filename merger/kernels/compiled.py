"""The compiled kernels, where they could be built: `_native`, made of the C files of `native/`.

Installing builds them if there is a C compiler; where there was none, NumPy does the same work
with the same bits, several times slower.
"""

from functools import cache
from types import ModuleType


@cache
def load_native() -> ModuleType | None:
    """The compiled module, or None."""
    try:
        from . import _native
    except ImportError:
        return None
    return _native


@cache
def kernel_variants() -> tuple[str, ...]:
    """Names of the engines that run on this machine, the fastest first; `numpy` is always there."""
    module = load_native()
    return (*(module.variants() if module else ()), "numpy")
