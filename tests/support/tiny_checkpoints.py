"""Small checkpoints, written by the safetensors library or byte by byte."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merger.checkpoints.headers import Slot, compose_header
from merger.checkpoints.values import Values
from merger.kernels.dispatch import combine

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 50}


class Tensor:
    """Numbers of any shape, rounded to a dtype."""

    def __init__(self, numbers: Any, dtype: str = "BF16") -> None:
        array = np.asarray(numbers, np.float64)
        self.shape, self.dtype = array.shape, dtype
        self.values = Values.empty(array.size, dtype)
        combine([Values.from_array(array.reshape(-1))], [1.0], self.values, variant="numpy")


def random_tensors(
    seed: int, dtype: str = "BF16", vocabulary: int = 50, scale: float = 0.02
) -> dict[str, Tensor]:
    """Tensors named and shaped as those of a small Llama."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (vocabulary, 16), "model.norm.weight": (16,)}
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.self_attn.q_proj.weight"] = (16, 16)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (48, 16)
        shapes[f"{prefix}.input_layernorm.weight"] = (16,)
    return {
        name: Tensor(rng.standard_normal(shape) * scale, dtype) for name, shape in shapes.items()
    }


def near(tensors: Mapping[str, Tensor], seed: int, by: float = 0.5) -> dict[str, Tensor]:
    """The tensors with noise of a share `by` of their size."""
    from merger.kernels.numpy_kernels import unpack

    rng = np.random.default_rng(seed)
    found = {}
    for name, tensor in tensors.items():
        numbers = unpack(tensor.values).astype(np.float64)
        numbers = numbers + rng.standard_normal(numbers.shape) * by * numbers.std()
        found[name] = Tensor(numbers.reshape(tensor.shape), tensor.dtype)
    return found


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    shards: int = 1,
    config: Mapping[str, Any] = CONFIG,
) -> Path:
    """A checkpoint folder; with `shards`, tensors are dealt to files in turn."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if shards == 1:
        _write_file(folder / "model.safetensors", tensors)
        return folder
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        _write_file(folder / file, part)
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    slots = [Slot(name, tensor.dtype, tensor.shape) for name, tensor in tensors.items()]
    header, _ = compose_header(slots, {"format": "pt"})
    data = b"".join(tensor.values.data.tobytes() for tensor in tensors.values())
    path.write_bytes(header + data)
