"""The settings of a model as metadata of a GGUF file: sizes, rotary position encoding, epsilon."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from merger.checkpoints.headers import TensorInfo
from patientdx.errors import MergeError

from .container import Metadata, Value
from .families import EMBEDDINGS, GgufFamily, unlike_llama_cpp
from .tensor_types import Floats

_THETA = 10_000.0  # the families' default


class Geometry(NamedTuple):
    """The sizes of a model, from the shapes of its tensors rather than from defaults."""

    layers: int
    heads: int
    key_heads: int
    head_width: int


def read_geometry(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> Geometry:
    """Raises MergeError for sizes that do not go together."""
    layers, heads = _whole(config, "num_hidden_layers"), _whole(config, "num_attention_heads")
    query = _rows(tensors, "model.layers.0.self_attn.q_proj.weight")
    key = _rows(tensors, "model.layers.0.self_attn.k_proj.weight")
    width = query // heads
    if width * heads != query or key % width:
        raise unlike_llama_cpp(f"{query} rows of queries and {key} of keys for {heads} heads")
    return Geometry(layers, heads, key // width, width)


def describe_settings(
    config: Mapping[str, Any],
    family: GgufFamily,
    geometry: Geometry,
    tensors: Mapping[str, TensorInfo],
) -> Metadata:
    """The settings under the keys of llama.cpp. Raises MergeError for those it does not know."""
    vocabulary, width = tensors[EMBEDDINGS].shape
    values: dict[str, Value] = {
        "block_count": geometry.layers,
        "context_length": _whole(config, "max_position_embeddings"),
        "embedding_length": width,
        "feed_forward_length": _rows(tensors, "model.layers.0.mlp.gate_proj.weight"),
        "attention.head_count": geometry.heads,
        "attention.head_count_kv": geometry.key_heads,
        "attention.key_length": geometry.head_width,
        "attention.value_length": geometry.head_width,
        "attention.layer_norm_rms_epsilon": float(_number(config, "rms_norm_eps")),
        "rope.dimension_count": geometry.head_width,
        "vocab_size": vocabulary,
        **_rotation(config),
    }
    return {f"{family.architecture}.{key}": value for key, value in values.items()}


def sliding_window_remark(config: Mapping[str, Any]) -> str | None:
    """A remark on attention to a part of the context, which these families lose in llama.cpp."""
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return None
    if config.get("model_type") not in {"mistral", "qwen2", "qwen3"}:
        return None
    return (
        f"llama.cpp attends to the whole context, and this model to {window:,} tokens: "
        "longer texts are answered differently by the GGUF file"
    )


def rotation_factors(config: Mapping[str, Any], head_width: int) -> Floats | None:
    """What llama.cpp divides the frequencies of a head by (Llama 3.1's scaling); None if by 1."""
    rope = _rope(config)
    if _rope_type(rope) != "llama3":
        return None
    factor, low, high = (
        float(_number(rope, key)) for key in ("factor", "low_freq_factor", "high_freq_factor")
    )
    original = _number(rope, "original_max_position_embeddings")
    frequencies = _theta(config) ** -(np.arange(0, head_width, 2, dtype=np.float64) / head_width)
    turns = original * frequencies / (2 * math.pi)  # in the original context
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - share) / factor + share)).astype(np.float32)


def _rotation(config: Mapping[str, Any]) -> dict[str, Value]:
    rope = _rope(config)
    values: dict[str, Value] = {"rope.freq_base": _theta(config)}
    partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if partial not in {None, 1}:
        raise unlike_llama_cpp(f"it rotates {partial} of each head")
    kind = _rope_type(rope)
    if kind in {"default", "llama3"}:
        return values
    if kind == "linear":
        return values | {
            "rope.scaling.type": "linear",
            "rope.scaling.factor": float(_number(rope, "factor")),
        }
    if kind == "yarn":
        return values | _yarn(rope, config)
    raise unlike_llama_cpp(f"its rotary frequencies are scaled by `{kind}`")


def _yarn(rope: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Value]:
    unknown = [key for key in ("attention_factor", "mscale", "mscale_all_dim") if rope.get(key)]
    if unknown or rope.get("truncate") is False:
        raise unlike_llama_cpp(f"its YaRN scaling sets {(*unknown, 'truncate')[0]}")
    original = rope.get("original_max_position_embeddings")
    values: dict[str, Value] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": float(_number(rope, "factor")),
        "rope.scaling.original_context_length": int(
            original or _whole(config, "max_position_embeddings")
        ),
    }
    for key in ("beta_fast", "beta_slow"):
        if rope.get(key) is not None:
            values[f"rope.scaling.yarn_{key}"] = float(rope[key])
    return values


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping) or any(isinstance(value, Mapping) for value in rope.values()):
        raise unlike_llama_cpp("its layers have different rotary frequencies")
    return rope


def _rope_type(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _theta(config: Mapping[str, Any]) -> float:
    return float(_rope(config).get("rope_theta") or config.get("rope_theta") or _THETA)


def _rows(tensors: Mapping[str, TensorInfo], name: str) -> int:
    if name not in tensors:
        raise unlike_llama_cpp(f"it lacks the tensor `{name}`")
    return tensors[name].shape[0]


def _whole(values: Mapping[str, Any], key: str) -> int:
    return int(_number(values, key))


def _number(values: Mapping[str, Any], key: str) -> int | float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise MergeError(
            f"config.json has no `{key}`, which a GGUF file needs",
            hint="add it to the config.json of the base",
        )
    return value
