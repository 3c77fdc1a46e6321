"""Access to the compiled engine `_native`, which is built from the C files in `native/`.

Installation builds it if there is a C compiler. Without one, NumPy and Python give the same
results, many times slower.
"""

from functools import cache
from types import ModuleType

from patientdx.errors import IndexFolderError

API_VERSION = 2
"""The version that this code needs, see `native/python.h`."""


@cache
def load_native() -> ModuleType | None:
    """The compiled module; None if it was not built, or not since an update of the C files."""
    try:
        from . import _native
    except ImportError:
        return None
    return _native if getattr(_native, "API_VERSION", None) == API_VERSION else None


def require_native() -> ModuleType:
    """The compiled module. Raises IndexFolderError if it was not built."""
    module = load_native()
    if module is None:
        raise IndexFolderError(
            "the compiled engine was not built on this machine",
            hint="install a C compiler and install again, or use the engine `numpy`",
        )
    return module
