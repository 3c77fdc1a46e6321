"""The compiled engine, where it could be built: `_native`, made of the C files of `native/`.

Installing builds it if there is a C compiler; where there was none, NumPy and Python do the same
work with the same results, many times slower.
"""

from functools import cache
from types import ModuleType

from patientdx.errors import IndexFolderError


@cache
def load_native() -> ModuleType | None:
    """The compiled module, or None."""
    try:
        from . import _native
    except ImportError:
        return None
    return _native


def require_native() -> ModuleType:
    """The compiled module. Raises IndexFolderError where it was not built."""
    module = load_native()
    if module is None:
        raise IndexFolderError(
            "the compiled engine was not built on this machine",
            hint="install a C compiler and install again, or use the engine `numpy`",
        )
    return module
