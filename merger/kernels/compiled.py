"""The compiled kernels: the extension module `_native`, built from the C files in `native/`.

The installation builds it if there is a C compiler. Without it NumPy does the same work with the
same bits, several times slower.
"""

from functools import cache
from types import ModuleType

API_VERSION = 2
"""The version that this code needs, see `native/module.c`."""


@cache
def load_native() -> ModuleType | None:
    """The compiled module; None if it was not built, or not since an update of the C files."""
    try:
        from . import _native
    except ImportError:
        return None
    return _native if getattr(_native, "API_VERSION", None) == API_VERSION else None


@cache
def kernel_variants() -> tuple[str, ...]:
    """Names of the kernel variants that run on this machine, the fastest first, `numpy` last."""
    module = load_native()
    return (*(module.variants() if module else ()), "numpy")
