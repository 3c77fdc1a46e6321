"""The types of a GGUF file's tensors, as llama.cpp's `llama-quantize` chooses them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from .tensor_types import F16, F32, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, TensorType

GgufType = Literal["Q8_0", "Q4_K_M", "F16"]
GGUF_TYPES: tuple[GgufType, ...] = get_args(GgufType)

FILE_CODES: Mapping[GgufType, int] = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15}
"""Values of `general.file_type`."""

# What takes the place of a type whose blocks do not fill a row.
_SMALLER_BLOCKS = {Q4_K: Q5_0, Q5_K: Q5_1, Q6_K: Q8_0, Q5_0: F16, Q5_1: F16, Q8_0: F16}
_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"
_LAYERS_OF_70B = 80


class ModelFacts(NamedTuple):
    """What the choice depends on, beside the tensor itself."""

    layers: int
    tied: bool
    grouped: bool


def choose_type(
    wanted: GgufType, name: str, shape: tuple[int, ...], layer: int | None, model: ModelFacts
) -> TensorType:
    """The type of a tensor by its name in the file; `layer` is None outside the layers."""
    if len(shape) < 2 or name.endswith("_norm.weight"):
        return F32
    if wanted == "F16":
        return F16
    chosen = Q8_0 if wanted == "Q8_0" else _medium(name, shape[-1], layer, model)
    while not chosen.fits(shape[-1]):
        chosen = _SMALLER_BLOCKS[chosen]
    return chosen


def _medium(name: str, row: int, layer: int | None, model: ModelFacts) -> TensorType:
    """The choice of Q4_K_M: more bits for the output, and in some layers for v and ffn_down."""
    if name == _OUTPUT or (model.tied and name == _EMBEDDINGS):
        return Q6_K if Q4_K.fits(row) else Q8_0
    if layer is None:
        return Q4_K
    sensitive = name.endswith((".attn_v.weight", ".ffn_down.weight"))
    if sensitive and _gets_more_bits(layer, model.layers):
        return Q6_K
    if name.endswith(".attn_v.weight") and model.layers == _LAYERS_OF_70B and model.grouped:
        return Q5_K
    return Q4_K


def _gets_more_bits(layer: int, layers: int) -> bool:
    """Whether a layer is in the first or last eighth, or is a third one between them."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
