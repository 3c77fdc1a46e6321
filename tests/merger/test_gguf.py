"""Models as GGUF: read back by the package `gguf`, and run by llama.cpp beside transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("gguf", reason="needs the extra hf")

import gguf
import gguf_models
import tiny_models

from merger.checkpoints.checkpoint import Checkpoint
from merger.gguf.mixtures import GgufType
from merger.gguf.writer import write_gguf
from merger.kernels.numpy_kernels import unpack
from patientdx.models import ModelSettings
from patientdx.models.llamacpp import LlamaCppModel
from patientdx.models.torch.model import HfModel

SETTINGS = ModelSettings(dtype="float32", threads=1, context=512)
TEXTS = [("the patient", " ".join([tiny_models.WORDS] * 6)), ("", "pain in the chest\n\n note")]

# In log-probability. Numbers of float16 are as good as those of bfloat16; llama.cpp also rounds
# what goes into a layer to the blocks of the weights.
NEAR: Mapping[GgufType, float] = {"F16": 0.01, "Q8_0": 0.25, "Q4_K_M": 1.5}


def write(folder: Path, wanted: GgufType) -> Path:
    path = folder.with_name(f"{folder.name}-{wanted}.gguf")
    write_gguf(folder, path, wanted, title="tiny", threads=2)
    return path


def read_tensors(path: Path) -> dict[str, Any]:
    """Tensors by name, with their numbers as float32."""
    reader = gguf.GGUFReader(path)
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in reader.tensors
    }


def rotate_back(rows: Any, heads: int) -> Any:
    """Rows of Q or K with the halves of each head apart again."""
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def values_of(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    words = gguf_models.byte_level()
    return {name: gguf_models.save_model(folder / name, name, words) for name in gguf_models.MODELS}


@pytest.mark.parametrize("name", gguf_models.MODELS)
def test_every_number_is_that_of_the_model(models: dict[str, Path], name: str) -> None:
    """By the names and orders of the package gguf's own table of tensors."""
    model = Checkpoint.open(models[name])
    written = read_tensors(write(models[name], "F16"))
    architecture = gguf_models.MODELS[name]["model_type"].replace("mistral", "llama")
    kind = next(key for key, text in gguf.MODEL_ARCH_NAMES.items() if text == architecture)
    names = gguf.get_tensor_name_map(kind, 3)
    for tensor, info in model.tensors.items():
        expected = unpack(model.values(tensor)).reshape(info.shape)
        actual = written.pop(str(names.get_name(tensor, try_suffixes=(".weight", ".bias"))))
        if architecture == "llama" and ("q_proj" in tensor or "k_proj" in tensor):
            actual = rotate_back(actual, 4 if "q_proj" in tensor else 2)
        if architecture == "gemma" and "norm" in tensor:
            expected = expected + 1
        if len(info.shape) == 2:
            expected = expected.astype(np.float16).astype(np.float32)
        assert np.array_equal(actual, expected), tensor
    assert set(written) <= {"rope_freqs.weight"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [(name, "F16") for name in gguf_models.MODELS]
    + [(name, wanted) for name in ("llama", "qwen2", "gemma") for wanted in ("Q8_0", "Q4_K_M")],
)
def test_llama_cpp_reads_texts_as_transformers_does(
    models: dict[str, Path], name: str, wanted: GgufType
) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    expected = HfModel.load(models[name], SETTINGS).logprobs(TEXTS)
    llama = LlamaCppModel.load(write(models[name], wanted), SETTINGS)
    logprobs = llama.logprobs(TEXTS)
    llama.close()
    differences = []
    for own, other in zip(logprobs, expected, strict=True):
        assert len(own) == len(other)
        differences += np.abs(np.subtract(own, other)).tolist()
    assert max(differences) < NEAR[wanted]
    assert np.mean(differences) < NEAR[wanted] / 4


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_what_is_left_of_each_number_after_quantisation(models: dict[str, Path], name: str) -> None:
    exact = read_tensors(write(models[name], "F16"))
    eight = read_tensors(write(models[name], "Q8_0"))
    for tensor, numbers in exact.items():
        if numbers.ndim == 1:
            assert np.array_equal(eight[tensor], numbers)
            continue
        scales = np.abs(numbers.reshape(-1, 32)).max(axis=1) / 127
        errors = np.abs(eight[tensor] - numbers).reshape(-1, 32).max(axis=1)
        assert (errors <= 0.51 * scales + np.abs(scales) * 0.08).all(), tensor
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    four = read_tensors(write(models[name], "Q4_K_M"))
    for tensor, numbers in exact.items():
        spread = float(np.sqrt(np.mean(numbers**2)))
        left = float(np.sqrt(np.mean((four[tensor] - numbers) ** 2)))
        assert left <= 0.1 * spread, tensor
