"""The compiled kernels: the extension module `_native`, built from the C files in `native/`.

The installation builds it if there is a C compiler. Without it NumPy does the same work with the
same bits, several times slower.
"""

from functools import cache
from types import ModuleType


@cache
def load_native() -> ModuleType | None:
    """The compiled module; None if it was not built."""
    try:
        from . import _native
    except ImportError:
        return None
    return _native


@cache
def kernel_variants() -> tuple[str, ...]:
    """Names of the kernel variants that run on this machine, the fastest first, `numpy` last."""
    module = load_native()
    return (*(module.variants() if module else ()), "numpy")
