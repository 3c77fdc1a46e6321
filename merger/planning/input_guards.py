"""Refusals that hold for every recipe and engine: inputs whose numbers are not plain weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from merger.checkpoints.checkpoint import INDEX, SINGLE
from patientdx.errors import MergeError

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint
    from merger.checkpoints.headers import TensorInfo

_QUANTIZATION_KEYS = ("quantization_config", "compression_config", "quantization")
# Tensors that quantised weights need beside them: of fp8 and compressed-tensors, GPTQ and AWQ,
# bitsandbytes, MXFP4, AQLM, HQQ.
_QUANTIZATION_TENSOR = re.compile(
    r"(?:weight_scale(?:_inv|_2)?|_scale_inv|weight_scales|weight_packed|weight_zero_point"
    r"|qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state\.\w+"
    r"|experts\.\w+_(?:blocks|scales)|\.codebooks|\.W_q)$"
)
_WEIGHT = re.compile(r"(?:weight|_proj|\.w\d)$")
_PACKED_DTYPES = ("U8", "I8", "U16", "I16", "U32", "I32")
_SMALL_FLOATS = ("F8_", "F6_", "F4")


def guard_inputs(inputs: Sequence["Checkpoint"], names: Sequence[str]) -> list[str]:
    """Remarks on how inputs are read. Raises MergeError for one whose weights are quantised.

    `names` are the names of the inputs in messages.
    """
    remarks = []
    for checkpoint, name in zip(inputs, names, strict=True):
        reason = next(_signs_of_quantization(checkpoint), None)
        if reason:
            raise MergeError(
                f"the weights of {name} are quantised: {reason}",
                hint="merge the models that it was made from",
            )
        if checkpoint.unread:
            read = ", ".join(file.name for file in checkpoint.files)
            remarks.append(
                f"{name}: {read} is read, as transformers does; {', '.join(checkpoint.unread)} "
                "beside it is not"
            )
    return remarks


def check_files_for_mergekit(bases: Sequence["Checkpoint"], names: Sequence[str]) -> None:
    """Raises MergeError if MergeKit would read other weights of an input than transformers.

    MergeKit reads an index before a single file. `bases` are the inputs without their adapters.
    """
    for checkpoint, name in zip(bases, names, strict=True):
        others = [file for file in checkpoint.unread if file in {INDEX, SINGLE}]
        if others:
            raise MergeError(
                f"{name}: MergeKit would read {others[0]}, which transformers does not load",
                hint=f"remove {checkpoint.folder / others[0]} if it is of no use",
            )


def _signs_of_quantization(checkpoint: "Checkpoint") -> Iterator[str]:
    """Reasons to believe that weights are quantised, the plainest first."""
    key = _find_key(checkpoint.config)
    if key:
        yield f"config.json has a {key}"
    for info in checkpoint.tensors.values():
        if _QUANTIZATION_TENSOR.search(info.name):
            yield f"tensor `{info.name}` belongs to quantised weights"
        elif info.dtype.startswith(_SMALL_FLOATS) or _is_packed(info):
            yield f"tensor `{info.name}` is {info.dtype}"


def _find_key(config: Mapping[str, Any]) -> str | None:
    """The key of a setting of quantisation, in the configuration or in that of a part."""
    for key in _QUANTIZATION_KEYS:
        if config.get(key):
            return key
    parts = (value for value in config.values() if isinstance(value, Mapping))
    return next(filter(None, map(_find_key, parts)), None)


def _is_packed(info: "TensorInfo") -> bool:
    """Whether a tensor has the integers of a quantised weight."""
    return info.dtype in _PACKED_DTYPES and bool(_WEIGHT.search(info.name)) and len(info.shape) > 1
