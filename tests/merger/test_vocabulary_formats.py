"""Merges of models whose tokenizers are in every format: tokens that were added keep their rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import merge_inputs
import pytest
import tiny_checkpoints as tiny
from small_tokenizers import (
    CHATML,
    add_tokens,
    byte_tokens,
    save_pieces,
    write_json,
    write_tekken,
    write_tiktoken,
)

from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import MergeResult, merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from merger.verification import verify_merge
from merger.vocabulary.byte_tokens import spell_bytes
from merger.vocabulary.problems import vocabulary_problems
from patientdx.errors import MergeError

BYTES = byte_tokens()
EMBEDDINGS = "model.embed_tokens.weight"


def put_pieces(folder: Path, *, chatml: bool, form: str) -> int:
    pytest.importorskip("sentencepiece")
    save_pieces(folder)
    added = {token: 80 + n for n, token in enumerate(CHATML)} if chatml else {}
    add_tokens(folder, added, form)
    return 80 + len(added)


def put_tekken(folder: Path, *, chatml: bool) -> int:
    more = [token.encode() for token in CHATML] if chatml else []
    size = 10 + len(BYTES) + len(more)
    write_tekken(folder / "tekken.json", [*BYTES, *more], ["<unk>", "<s>", "</s>"], 10, size)
    return size


def put_vocab_json(folder: Path, *, chatml: bool) -> int:
    write_json(folder / "vocab.json", {spell_bytes(token): n for n, token in enumerate(BYTES)})
    (folder / "merges.txt").write_text("", "utf-8")
    added = {token: len(BYTES) + n for n, token in enumerate(CHATML)} if chatml else {}
    write_json(folder / "added_tokens.json", added)
    return len(BYTES) + len(added)


def put_vocab_txt(folder: Path, *, chatml: bool) -> int:
    words = [f"w{n}" for n in range(60)] + (list(CHATML) if chatml else [])
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return len(words)


def put_padding(folder: Path, *, chatml: bool) -> int:
    """Words, and tokens that transformers adds because the configuration names them."""
    write_json(folder / "vocab.json", {f"w{n}": n for n in range(60)})
    named = {"additional_special_tokens": list(CHATML)} if chatml else {}
    write_json(folder / "tokenizer_config.json", named)
    return 62 if chatml else 60


FORMATS: dict[str, Callable[..., int]] = {
    "tokenizer.model, added_tokens.json": lambda f, chatml: put_pieces(
        f, chatml=chatml, form="file"
    ),
    "tokenizer.model, added_tokens_decoder": lambda f, chatml: put_pieces(
        f, chatml=chatml, form="decoder"
    ),
    "tekken.json": put_tekken,
    "vocab.json": put_vocab_json,
    "vocab.txt": put_vocab_txt,
    "special tokens without ids": put_padding,
}


def make_model(folder: Path, put: Callable[..., int], seed: int, *, chatml: bool) -> Path:
    """A model with a row for each token of a tokenizer."""
    scratch = folder.with_name(f"{folder.name}-words")
    scratch.mkdir()
    rows = put(scratch, chatml=chatml)
    make_bare(folder, seed, rows)
    for path in scratch.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def make_bare(folder: Path, seed: int, rows: int) -> Path:
    """A model without tokenizer."""
    merge_inputs.make(folder, tiny.random_tensors(seed, vocabulary=rows), vocab_size=rows)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder


def merged(a: Path, b: Path, into: Path, weight: float = 0.4) -> MergeResult:
    recipe = parse_recipe(to_yaml(two_model_recipe("slerp", str(a), str(b), weight)))
    return merge(MergeJob(recipe, dict(zip(recipe.inputs, (a, b), strict=True))), into)


def rows_of(folder: Path) -> int:
    return Checkpoint.open(folder).tensors[EMBEDDINGS].shape[0]


@pytest.mark.parametrize("form", FORMATS)
def test_tokens_of_the_base_have_their_rows(form: str, tmp_path: Path) -> None:
    chat = make_model(tmp_path / "chat", FORMATS[form], 1, chatml=True)
    plain = make_model(tmp_path / "plain", FORMATS[form], 2, chatml=False)
    for weight in (0.4, 0.0):
        out = tmp_path / f"out{weight}"
        done = merged(chat, plain, out, weight)
        config: dict[str, Any] = json.loads((out / "config.json").read_text("utf-8"))
        assert rows_of(out) == rows_of(chat) == rows_of(plain) + 2 == config["vocab_size"]
        assert vocabulary_problems(out, config, rows_of(out)) == []
        assert vocabulary_problems(out, config, rows_of(plain))
        assert not any("could not be compared" in remark for remark in done.remarks)
        assert not verify_merge(out).different
    base, same = Checkpoint.open(chat), Checkpoint.open(tmp_path / "out0.0")
    for name in base.tensors:
        assert base.values(name).data.tobytes() == same.values(name).data.tobytes()
    with pytest.raises(MergeError, match=r"2 tokens that .*plain lacks"):
        merged(plain, chat, tmp_path / "refused")


def test_rows_of_a_tokenizer_whose_code_adds_tokens_stay(tmp_path: Path) -> None:
    chat = make_bare(tmp_path / "chat", 1, len(BYTES) + 5)
    plain = make_bare(tmp_path / "plain", 2, len(BYTES))
    for folder in (chat, plain):
        write_tiktoken(folder / "qwen.tiktoken", BYTES)
    merged(chat, plain, tmp_path / "out", 0)
    assert rows_of(tmp_path / "out") == len(BYTES) + 5
    assert (tmp_path / "out" / "qwen.tiktoken").exists()
    with pytest.raises(MergeError, match=r"rows 259 to 263 of .*chat would be lost"):
        merged(plain, chat, tmp_path / "refused")


def test_other_formats_of_one_tokenizer_are_the_same_tokens(tmp_path: Path) -> None:
    a, b = (make_bare(tmp_path / name, n, len(BYTES)) for n, name in enumerate("ab"))
    put_vocab_json(a, chatml=False)
    write_tiktoken(b / "qwen.tiktoken", BYTES)
    assert [r for r in merged(a, b, tmp_path / "out").remarks if "licence" not in r] == []
    swapped = [BYTES[1], BYTES[0], *BYTES[2:]]
    write_tiktoken(b / "qwen.tiktoken", swapped)
    with pytest.raises(MergeError, match=r"other tokens than .* at 2 ids, the first at 0"):
        merged(a, b, tmp_path / "refused")


@pytest.mark.parametrize("same", [True, False])
def test_pieces_that_code_shifts_are_compared_as_files(tmp_path: Path, *, same: bool) -> None:
    a, b = (make_bare(tmp_path / name, n, 50) for n, name in enumerate("ab"))
    (a / "spiece.model").write_bytes(b"1")
    (b / "spiece.model").write_bytes(b"1" if same else b"2")
    remarks = " ".join(merged(a, b, tmp_path / "out").remarks)
    assert ("could not be compared" in remarks) != same
    assert (tmp_path / "out" / "spiece.model").exists()


def test_tokens_are_compared_whatever_the_embeddings_are_called(tmp_path: Path) -> None:
    folders = []
    for n, name in enumerate("ab"):
        tensors = tiny.random_tensors(n, vocabulary=60)
        renamed = {key.replace("embed_tokens", "table"): t for key, t in tensors.items()}
        folder = merge_inputs.make(tmp_path / name, renamed, vocab_size=60)
        (folder / "tokenizer.json").unlink()
        words = [f"w{k}" for k in range(60)]
        (folder / "vocab.txt").write_text("\n".join(words if n else words[::-1]), "utf-8")
        folders.append(folder)
    with pytest.raises(MergeError, match=r"other tokens than .* at 60 ids, the first at 0"):
        merged(folders[0], folders[1], tmp_path / "out")
