"""The families of models that are written as GGUF, and what llama.cpp calls their tensors.

Names and settings are those of llama.cpp's own converter. A family's activation, normalisation and
attention are built into llama.cpp: a model that differs there is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from patientdx.errors import MergeError

_DENSE = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_ATTENTION_BIASES = {
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.bias": "attn_v.bias",
}
_OTHER_BIASES = {
    "self_attn.o_proj.bias": "attn_output.bias",
    "mlp.gate_proj.bias": "ffn_gate.bias",
    "mlp.up_proj.bias": "ffn_up.bias",
    "mlp.down_proj.bias": "ffn_down.bias",
}
_HEAD_NORMS = {
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
}
_OUTSIDE_LAYERS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_SILU = frozenset({"silu", "swish"})
# The authors of Gemma mean the approximation by tanh where older files say `gelu`.
_GELU = frozenset({"gelu", "gelu_new", "gelu_pytorch_tanh"})

EMBEDDINGS = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class GgufFamily:
    """A family by its architecture in llama.cpp, and the names of the tensors of a layer there.

    llama.cpp rotates neighbouring numbers of a head if `interleaved`, else halves as transformers
    does. `shift` is added to the weights of normalisations.
    """

    architecture: str
    layer_names: Mapping[str, str]
    activations: frozenset[str] = _SILU
    interleaved: bool = False
    shift: float = 0.0


_LLAMA = GgufFamily("llama", {**_DENSE, **_ATTENTION_BIASES, **_OTHER_BIASES}, interleaved=True)
FAMILIES: Mapping[str, GgufFamily] = MappingProxyType(
    {
        "llama": _LLAMA,
        "mistral": _LLAMA,
        "qwen2": GgufFamily("qwen2", {**_DENSE, **_ATTENTION_BIASES}),
        "qwen3": GgufFamily("qwen3", {**_DENSE, **_HEAD_NORMS}),
        "gemma": GgufFamily("gemma", _DENSE, _GELU, shift=1.0),
    }
)
"""Families by `model_type` in config.json."""


class GgufName(NamedTuple):
    """The name of a tensor in the file, and the number of its layer, if it is in one."""

    name: str
    layer: int | None


def find_gguf_family(config: Mapping[str, Any]) -> GgufFamily:
    """The family of a model. Raises MergeError for one that is not written as GGUF."""
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise MergeError(
            f"models of the family `{kind}` are not written as GGUF, only {', '.join(FAMILIES)}",
            hint="merge without --gguf",
        )
    activation = config.get("hidden_activation") or config.get("hidden_act")
    if activation is not None and activation not in family.activations:
        raise unlike_llama_cpp(f"its activation is {activation}")
    return family


def gguf_name(name: str, family: GgufFamily) -> GgufName:
    """What llama.cpp calls a tensor. Raises MergeError for one that it has no place for."""
    if name in _OUTSIDE_LAYERS:
        return GgufName(_OUTSIDE_LAYERS[name], None)
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in family.layer_names:
        raise unlike_llama_cpp(f"it has the tensor `{name}`")
    return GgufName(f"blk.{int(match[1])}.{family.layer_names[match[2]]}", int(match[1]))


def unlike_llama_cpp(difference: str) -> MergeError:
    """The error for a model that differs from its family in llama.cpp."""
    return MergeError(
        f"this merge cannot be written as GGUF: {difference}, which llama.cpp's code for its "
        "family does not know",
        hint="merge without --gguf",
    )
