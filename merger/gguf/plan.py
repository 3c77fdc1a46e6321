"""The plan of a GGUF file: metadata and tensors, known from the headers of a model alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.checkpoints.headers import TensorInfo
from merger.checkpoints.values import FLOATS
from merger.families.tensors import ties_embeddings
from patientdx.errors import MergeError

from .container import Layout, Metadata, TensorEntry, lay_out
from .families import EMBEDDINGS, HEAD, GgufFamily, find_gguf_family, gguf_name
from .mixtures import FILE_CODES, GgufType, ModelFacts, choose_type
from .settings import (
    Geometry,
    describe_settings,
    read_geometry,
    rotation_factors,
    sliding_window_remark,
)
from .tensor_types import F16, F32, Q8_0, Floats
from .tokenizer import describe_tokenizer
from .tokenizer_files import TokenizerFiles

_QUANTIZATION_VERSION = 2  # of llama.cpp's formats of blocks


class Source(NamedTuple):
    """Where the numbers of a tensor come from: a tensor of the model, or `numbers` themselves.

    `shift` is added to them; their rows are taken in the order `rows`, if there is one.
    """

    entry: TensorEntry
    tensor: str = ""
    shift: float = 0.0
    rows: NDArray[np.int64] | None = None
    numbers: Floats | None = None


@dataclass(frozen=True)
class GgufPlan:
    """A file to be written: its metadata, its tensors in order, and remarks on its use."""

    metadata: Metadata
    sources: tuple[Source, ...]
    remarks: tuple[str, ...]

    def lay_out(self) -> Layout:
        """The layout of the file."""
        return lay_out(self.metadata, [source.entry for source in self.sources])

    @property
    def needs_llama_cpp(self) -> bool:
        """Whether a tensor has a type that only llama.cpp writes."""
        return any(source.entry.type not in {F32, F16, Q8_0} for source in self.sources)


def plan_gguf(
    config: Mapping[str, Any],
    tensors: Mapping[str, TensorInfo],
    tokenizer: Path,
    wanted: GgufType,
    title: str,
) -> GgufPlan:
    """The plan for a model with these tensors, and the tokenizer in the folder `tokenizer`.

    Raises MergeError for models and tokenizers that llama.cpp would not run as transformers does.
    """
    family = find_gguf_family(config)
    _check_dtypes(tensors)
    tied = HEAD not in tensors or ties_embeddings(config, tensors)
    geometry = read_geometry(config, tensors)
    facts = describe_tokenizer(TokenizerFiles(tokenizer), config, _vocabulary(tensors))
    metadata: Metadata = {
        "general.architecture": family.architecture,
        "general.type": "model",
        "general.name": title,
        "general.file_type": FILE_CODES[wanted],
        "general.quantization_version": _QUANTIZATION_VERSION,
        **describe_settings(config, family, geometry, tensors),
        **facts.metadata,
    }
    model = ModelFacts(geometry.layers, tied, geometry.heads != geometry.key_heads)
    sources = [
        _source(info, family, geometry, wanted, model)
        for info in tensors.values()
        if not (tied and info.name == HEAD)
    ]
    factors = rotation_factors(config, geometry.head_width)
    if factors is not None:
        entry = TensorEntry("rope_freqs.weight", F32, factors.shape)
        sources.append(Source(entry, numbers=factors))
    remark = sliding_window_remark(config)
    remarks = (*facts.remarks, *([remark] if remark else ()))
    return GgufPlan(metadata, tuple(sorted(sources, key=_place)), remarks)


def _source(
    info: TensorInfo, family: GgufFamily, geometry: Geometry, wanted: GgufType, model: ModelFacts
) -> Source:
    name, layer = gguf_name(info.name, family)
    entry = TensorEntry(name, choose_type(wanted, name, info.shape, layer, model), info.shape)
    shift = family.shift if name.endswith("norm.weight") else 0.0
    rows: NDArray[np.int64] | None = None
    if family.interleaved and ".attn_q." in name:
        rows = _interleave(geometry.heads, geometry.head_width)
    elif family.interleaved and ".attn_k." in name:
        rows = _interleave(geometry.key_heads, geometry.head_width)
    return Source(entry, info.name, shift, rows)


def _interleave(heads: int, width: int) -> NDArray[np.int64]:
    """The rows of Q or K such that numbers that are rotated together become neighbours."""
    order = np.arange(heads * width, dtype=np.int64)
    return order.reshape(heads, 2, width // 2).swapaxes(1, 2).reshape(-1)


def _place(source: Source) -> tuple[int, int, str]:
    """Embeddings first, then the layers in order, then the rest."""
    name = source.entry.name
    if name.startswith("blk."):
        return (1, int(name.split(".")[1]), name)
    return (0 if name.startswith("token_embd") else 2, 0, name)


def _vocabulary(tensors: Mapping[str, TensorInfo]) -> int:
    if EMBEDDINGS not in tensors:
        raise MergeError(
            f"a GGUF file needs the tensor `{EMBEDDINGS}`, which the base lacks",
            hint="merge without --gguf",
        )
    return tensors[EMBEDDINGS].shape[0]


def _check_dtypes(tensors: Mapping[str, TensorInfo]) -> None:
    for info in tensors.values():
        if info.dtype not in FLOATS:
            raise MergeError(
                f"{info.name} is {info.dtype}: quantised weights are not written as GGUF",
                hint="merge without --gguf",
            )
