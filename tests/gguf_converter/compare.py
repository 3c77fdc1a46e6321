"""Tensors and metadata of our GGUF files beside those of llama.cpp's converter; see `run`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import gguf_models
import numpy as np
import pytest

from merger.gguf.writer import write_gguf

# The converter finds the name of a pre-tokenizer by the tokens of one text, so it knows no
# tokenizer of ours: it is told the name.
PROGRAM = """
import sys
from conversion import base
import convert_hf_to_gguf
folder, into, kind, name = sys.argv[1:]
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: name
sys.argv = ["convert", folder, "--outfile", into, "--outtype", kind]
convert_hf_to_gguf.main()
"""
OURS = {"general.name", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"}
# Derived by llama.cpp where they are missing.
EXTRA = (
    *("vocab_size", "rope.dimension_count", "rope.freq_base"),
    *("add_space_prefix", "unknown_token_id"),
)


def convert(folder: Path, into: Path, kind: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(into), kind, "gpt-2"],
        env={**os.environ, "PYTHONPATH": os.environ["CONVERTER"]},
        check=True,
        capture_output=True,
    )


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    values = {name: value for name, value in values.items() if not name.startswith("GGUF.")}
    return values, {tensor.name: tensor for tensor in reader.tensors}


def with_sentencepiece(folder: Path) -> None:
    """Puts a tokenizer.model in the place of the tokenizer."""
    path = gguf_models.save_sentencepiece(folder.parent / "pieces", vocab_size=380)
    for old in folder.glob("*token*"):
        old.unlink()
    shutil.copy(path, folder)
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
    for file in ("config.json", "generation_config.json"):
        settings = json.loads((folder / file).read_text(encoding="utf-8"))
        settings |= {"bos_token_id": 1, "eos_token_id": 2}
        (folder / file).write_text(json.dumps(settings), encoding="utf-8")


@pytest.mark.parametrize("wanted", ["F16", "Q8_0"])
@pytest.mark.parametrize("name", [*gguf_models.MODELS, "llama-sentencepiece"])
def test_files_are_those_of_the_converter(tmp_path: Path, name: str, wanted: Any) -> None:
    words = gguf_models.byte_level(size=300)
    kind = name.removesuffix("-sentencepiece")
    folder = gguf_models.save_model(tmp_path / "model", kind, words, vocab_size=384)
    if name in {"llama-sentencepiece", "gemma"}:
        with_sentencepiece(folder)
    write_gguf(folder, tmp_path / "ours", wanted, title="model")
    convert(folder, tmp_path / "theirs", wanted.lower())
    (own, own_tensors), (expected, tensors) = read(tmp_path / "ours"), read(tmp_path / "theirs")
    assert own_tensors.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert own_tensors[key].tensor_type == tensor.tensor_type, key
        if key == "rope_freqs.weight":
            assert np.allclose(own_tensors[key].data, tensor.data, rtol=1e-6)
        else:
            assert own_tensors[key].data.tobytes() == tensor.data.tobytes(), key
    for key, value in expected.items():
        if key in OURS or (key.startswith("general.") and key not in own):
            continue  # names and sizes for people
        if key.endswith(("_token_id", "add_space_prefix")) and name == "gemma":
            continue  # those of Google's Gemma, whose tokenizer this is not
        assert own.get(key) == value, key
    more = {key for key in own.keys() - expected.keys() - OURS if not key.endswith(EXTRA)}
    assert not more
