"""Two random bfloat16 models of a Llama's shape, and whether two merges of them agree."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.headers import Slot
from merger.checkpoints.values import Values
from merger.kernels.dispatch import combine
from merger.kernels.numpy_kernels import unpack
from merger.methods.method import DeltaOptions
from merger.outputs.shards import compose_index, lay_out
from merger.planning.merge_plan import MergePlan, TensorTask

PIECE = 1 << 24  # numbers made or compared at a time
# Hidden size, inner size, layers, heads, heads of keys and values, words.
SIZES = {
    "tiny": (256, 704, 4, 4, 2, 2_000),
    "1b": (2048, 5632, 22, 32, 4, 32_000),
    "8b": (4096, 14336, 32, 32, 8, 128_256),
}


class Agreement(NamedTuple):
    """How far two merges agree: share of equal numbers, and the largest difference in ulps.

    Differences up to 2e-6 of |a| + |b| are float32's own and do not count.
    """

    equal: float
    ulps: float


def config(size: str, layers: int = 0) -> dict[str, Any]:
    hidden, inner, own_layers, heads, kv_heads, words = SIZES[size]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers or own_layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": words,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def slots(size: str, layers: int = 0) -> list[Slot]:
    """The tensors, in the order of the model, with another number of layers if that is not 0."""
    hidden, inner, own_layers, heads, kv_heads, words = SIZES[size]
    kv = hidden // heads * kv_heads
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(layers or own_layers):
        own = {
            "input_layernorm": (hidden,),
            "mlp.down_proj": (hidden, inner),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "post_attention_layernorm": (hidden,),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.v_proj": (kv, hidden),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in own.items()}
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (words, hidden)}
    return [Slot(name, "BF16", shape) for name, shape in shapes.items()]


def write_model(folder: Path, size: str, seed: int, layers: int = 0) -> None:
    """Weights of N(0, 0.02²), in files as transformers writes them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(config(size, layers), indent=2), encoding="utf-8"
    )
    rng = np.random.default_rng(seed)
    shards = lay_out(slots(size, layers))
    shapes = {slot.name: slot.shape for slot in slots(size, layers)}
    for shard in shards:
        with (folder / shard.name).open("wb") as stream:
            stream.write(shard.header)
            for name in shard.offsets:
                for piece in _random(rng, math.prod(shapes[name])):
                    stream.write(piece)
    for name, content in compose_index(shards).items():
        (folder / name).write_bytes(content)


def link_model(folder: Path, original: Path) -> None:
    """A second model whose files are hard links to those of another, so of the same numbers."""
    folder.mkdir(parents=True)
    for file in original.iterdir():
        os.link(file, folder / file.name)


def _random(rng: np.random.Generator, count: int) -> Iterator[bytes]:
    for start in range(0, count, PIECE):
        numbers = rng.standard_normal(min(PIECE, count - start), np.float32)
        out = Values.empty(len(numbers), "BF16")
        combine([Values.from_array(numbers)], [0.02], out)
        yield out.data.tobytes()


def plan(left: Path, right: Path, method: str, t: float) -> MergePlan:
    """Every tensor of two such models by one method; the left one is the base."""
    inputs = (Checkpoint.open(left), Checkpoint.open(right))
    on_base = method == "task_arithmetic"
    weights, deltas = ((1.0, t), DeltaOptions(0)) if on_base else ((1 - t, t), None)
    tasks = [
        TensorTask(
            *(info.name, info.dtype, info.shape, method, weights),
            divided=not on_base,
            deltas=deltas,
        )
        for info in inputs[0].tensors.values()
    ]
    return MergePlan(inputs, tuple(tasks))


def compare(ours: Path, theirs: Path, inputs: tuple[Path, Path]) -> Agreement:
    """Tensor by tensor. Raises SystemExit where names or shapes differ."""
    merged, expected, a, b = map(Checkpoint.open, (ours, theirs, *inputs))
    if {i.name: i.shape for i in merged.tensors.values()} != {
        i.name: i.shape for i in expected.tensors.values()
    }:
        raise SystemExit("the two merges hold other tensors")
    equal = total = 0
    worst = 0.0
    for name, info in merged.tensors.items():
        for start in range(0, info.numbers, PIECE):
            parts = [
                each.values(name).part(start, min(start + PIECE, info.numbers))
                for each in (merged, expected, a, b)
            ]
            same = parts[0].data.view(np.uint16) == parts[1].data.view(np.uint16)
            equal += int(np.count_nonzero(same))
            total += len(same)
            if not same.all():
                worst = max(worst, _worst(parts, ~same))
        for each in (merged, expected, a, b):
            each.done_with(name)
    return Agreement(equal / total, worst)


def _worst(parts: list[Values], where: np.ndarray) -> float:
    x, y, a, b = (unpack(part)[where].astype(np.float64) for part in parts)
    step = np.ldexp(1.0, np.frexp(np.maximum(np.abs(y), 2.0**-126))[1] - 8)
    beyond = np.maximum(np.abs(x - y) - 2e-6 * (np.abs(a) + np.abs(b)), 0)
    return float(np.max(beyond / step))
