"""llama.cpp's own quantiser, in the library of the package xllamacpp."""

import ctypes
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from patientdx.capabilities import require_package
from patientdx.errors import MergeError

from .tensor_types import Floats, TensorType

PACKAGE = "xllamacpp"
_PATTERNS = ("xllamacpp*.so", "xllamacpp*.pyd")


class NativeEncoder:
    """Writes rows by `ggml_quantize_chunk`, from as many threads as wanted."""

    def __init__(self, quantize: Any) -> None:
        self._quantize = quantize

    @classmethod
    def load(cls) -> "NativeEncoder":
        """Raises ExtraMissingError, and MergeError for a library that hides its functions."""
        require_package(PACKAGE, "local")
        try:
            quantize = ctypes.CDLL(str(_library())).ggml_quantize_chunk
        except (OSError, AttributeError, StopIteration):
            raise MergeError(
                f"the installed {PACKAGE} does not offer llama.cpp's quantiser",
                hint="choose --gguf Q8_0 or F16",
            ) from None
        pointer, whole = ctypes.c_void_p, ctypes.c_int64
        quantize.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
        quantize.restype = ctypes.c_size_t
        return cls(quantize)

    def __call__(self, rows: Floats, into: TensorType) -> bytes:
        """The bytes of the rows in a type of which each row holds whole blocks."""
        source = np.ascontiguousarray(rows, np.float32)
        count, length = source.shape
        target = ctypes.create_string_buffer(into.size(source.size))
        written = self._quantize(into.code, source.ctypes.data, target, 0, count, length, None)
        if written != len(target):
            raise MergeError(f"llama.cpp wrote {written:,} bytes of {len(target):,} of a tensor")
        return target.raw


def native_version() -> str:
    """The package and its version."""
    return f"{PACKAGE} {version(PACKAGE)}"


def _library() -> Path:
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next(
        path
        for folder in folders or ()
        for pattern in _PATTERNS
        for path in sorted(Path(folder).glob(pattern))
    )
