"""Types of tensors against published files, and blocks of numbers against llama.cpp's own."""

import numpy as np
import pytest

from merger.gguf.mixtures import ModelFacts, choose_type
from merger.gguf.native_encoder import NativeEncoder
from merger.gguf.tensor_types import (
    F16,
    F32,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    TensorType,
    encode_plain,
)
from patientdx.errors import MergeError

# Of the published Q4_K_M files: Gemma 3 270M (640 wide, tied), Qwen2.5-Coder 0.5B (896) and 1.5B
# (1536). `layers` are those whose v and ffn_down have more bits, by their places in the file: the
# two of Qwen list layer 10 before layer 2.
QWEN_24 = [0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 2, 20, 21, 22, 23, 3, 4, 5, 6, 7, 8, 9]
PUBLISHED = [
    (18, list(range(18)), {0, 1, 4, 7, 10, 13, 15, 16, 17}),
    (24, QWEN_24, {0, 1, 3, 6, 7, 8, 9, 10, 13, 16, 19, 21}),
    (
        28,
        sorted(range(28), key=str),
        {0, 1, 5, 6, 7, 8, 9, 10, 13, 16, 19, 21, 24, 27},
    ),
]


@pytest.mark.parametrize(("layers", "order", "more"), PUBLISHED)
def test_layers_with_more_bits_are_those_of_published_files(
    layers: int, order: list[int], more: set[int]
) -> None:
    model = ModelFacts(layers, tied=False, grouped=True)
    for name in ("attn_v", "ffn_down"):
        chosen = {
            layer
            for place, layer in enumerate(order)
            if choose_type("Q4_K_M", f"blk.{place}.{name}.weight", (256, 1536), place, model)
            == Q6_K
        }
        assert chosen == more


@pytest.mark.parametrize(
    ("name", "shape", "layer", "tied", "expected"),
    [
        # Gemma 3 270M
        ("token_embd.weight", (262144, 640), None, True, Q8_0),
        ("blk.0.attn_k.weight", (256, 640), 0, True, Q5_0),
        ("blk.0.attn_v.weight", (256, 640), 0, True, Q8_0),
        ("blk.0.attn_output.weight", (640, 1024), 0, True, Q4_K),
        ("blk.0.ffn_down.weight", (640, 2048), 0, True, Q6_K),
        ("blk.0.attn_k_norm.weight", (256,), 0, True, F32),
        # Qwen2.5-Coder 0.5B and 1.5B
        ("output.weight", (151936, 896), None, False, Q8_0),
        ("token_embd.weight", (151936, 896), None, False, Q5_0),
        ("output.weight", (151936, 1536), None, False, Q6_K),
        ("token_embd.weight", (151936, 1536), None, False, Q4_K),
        ("blk.0.attn_q.bias", (1536,), 0, False, F32),
        # rows that no block fills
        ("blk.0.attn_q.weight", (40, 40), 0, False, F16),
    ],
)
def test_types_are_those_of_published_files(
    name: str, shape: tuple[int, ...], layer: int | None, tied: bool, expected: TensorType
) -> None:
    model = ModelFacts(24, tied, grouped=True)
    assert choose_type("Q4_K_M", name, shape, layer, model) == expected


def test_models_of_70b_share_more_bits_among_heads() -> None:
    model = ModelFacts(80, tied=False, grouped=True)
    assert choose_type("Q4_K_M", "blk.11.attn_v.weight", (1024, 8192), 11, model) == Q5_K
    assert choose_type("Q4_K_M", "blk.0.attn_v.weight", (1024, 8192), 0, model) == Q6_K


def _numbers(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((64, 512)).astype(np.float32)
    rows[3, :32] = 0
    rows[4, :32] = 1e-30
    rows[5, :32] = np.linspace(-127, 127, 32)
    rows[6] = np.float32(0.5) * np.arange(512)
    return rows


def test_blocks_of_8_bits_are_those_of_llama_cpp_and_of_the_package_gguf() -> None:
    gguf = pytest.importorskip("gguf", reason="needs the extra hf")
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    native = NativeEncoder.load()
    for seed in range(20):
        rows = _numbers(seed)
        own = encode_plain(rows, Q8_0)
        assert own == native(rows, Q8_0)
        kind = gguf.GGMLQuantizationType.Q8_0
        assert own == gguf.quants.quantize(rows, kind).tobytes()


@pytest.mark.parametrize("into", [Q4_K, Q5_0, Q5_1, Q5_K, Q6_K])
def test_the_package_gguf_reads_what_llama_cpp_writes(into: TensorType) -> None:
    gguf = pytest.importorskip("gguf", reason="needs the extra hf")
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    rows = np.random.default_rng(7).standard_normal((16, 512)).astype(np.float32)
    data = np.frombuffer(NativeEncoder.load()(rows, into), np.uint8).reshape(16, -1)
    kind = gguf.GGMLQuantizationType(into.code)
    assert (into.name, into.block, into.nbytes) == (kind.name, *gguf.GGML_QUANT_SIZES[kind])
    left = gguf.quants.dequantize(data, kind) - rows
    assert np.sqrt(np.mean(left**2)) < 0.1


def test_numbers_beyond_float16_are_refused() -> None:
    rows = np.full((1, 32), 1e5, np.float32)
    with pytest.raises(MergeError, match="beyond the range of float16"):
        encode_plain(rows, F16)
    encode_plain(rows, Q8_0)
    with pytest.raises(MergeError, match="beyond the range of float16"):
        encode_plain(rows * 1e3, Q8_0)
