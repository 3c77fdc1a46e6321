"""Readers of tokenizer files, fed random bytes and damaged files: errors of ours, or tokens."""

import base64
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import byte_tokens, write_json, write_tekken, write_tiktoken

from merger.vocabulary.chat_templates import read_chat_template
from merger.vocabulary.problems import vocabulary_problems
from merger.vocabulary.reading import read_vocabulary
from patientdx.errors import MergeError

NAMES = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tekken.json"),
    *("qwen.tiktoken", "tiktoken.model", "spiece.model", "generation_config.json"),
    *("chat_template.jinja", "chat_template.json"),
)
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none()
KEYS = st.sampled_from(
    [
        *("model", "vocab", "added_tokens", "id", "content", "added_tokens_decoder", "config"),
        *("default_vocab_size", "default_num_special_tokens", "special_tokens", "rank"),
        *("token_str", "token_bytes", "pad_token", "additional_special_tokens", "chat_template"),
        *("extra_special_tokens", "eos_token_id", "name", "template", "0", "7"),
    ]
)
VALUES = st.recursive(
    NUMBERS | st.text(max_size=5) | st.just(base64.b64encode(b"x").decode()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


def read_all(folder: Path) -> None:
    """Reads everything; only errors of ours may come, of one line."""
    for read in (
        lambda: read_vocabulary(folder, {}),
        lambda: read_chat_template(folder),
        lambda: vocabulary_problems(folder, {}, 50),
    ):
        problem = None
        try:
            read()
        except MergeError as error:
            problem = error
        assert problem is None or problem.hint


def small_files() -> dict[str, bytes]:
    """A sound file of each format, small."""
    pieces = b"".join(
        b"\n" + bytes([len(text) + 7]) + b"\n" + bytes([len(text)]) + text + b"\x15\0\0\0\0"
        for text in (b"<unk>", b"<s>", b"</s>", b"a", "▁b".encode())
    )
    words = {"a": 0, "b": 1}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiktoken(folder / "qwen.tiktoken", byte_tokens())
        write_tekken(folder / "tekken.json", byte_tokens(), ["<unk>"], 3, 200)
        write_json(folder / "tokenizer.json", {"model": {"vocab": words}, "added_tokens": []})
        write_json(folder / "vocab.json", words)
        write_json(folder / "added_tokens.json", {"c": 2})
        (folder / "tokenizer.model").write_bytes(pieces)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


SOUND = small_files()


def test_the_sound_files_are_read() -> None:
    for name, content in SOUND.items():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(content)
            tokens = read_vocabulary(Path(folder), {}).tokens
            assert tokens or name == "added_tokens.json", name


@given(st.sampled_from(NAMES), st.binary(max_size=200))
def test_random_bytes(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(content)
        read_all(Path(folder))


@given(st.sampled_from(NAMES), VALUES)
def test_random_json(name: str, content: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_text(json.dumps(content), "utf-8")
        if name == "tokenizer_config.json":  # which is read beside a vocabulary
            Path(folder, "vocab.json").write_bytes(SOUND["vocab.json"])
        read_all(Path(folder))


@given(st.sampled_from(sorted(SOUND)), st.data())
@settings(max_examples=200)
def test_sound_files_with_changed_bytes(name: str, data: st.DataObject) -> None:
    content = bytearray(SOUND[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(content[: cut or None])
        read_all(Path(folder))


def test_deep_json_and_long_numbers(tmp_path: Path) -> None:
    for content in ("[" * 100_000, '{"a": ' * 50_000, f'{{"a": {"9" * 5_000}}}', "NaN"):
        (tmp_path / "tokenizer.json").write_text(content, "utf-8")
        with pytest.raises(MergeError):
            read_vocabulary(tmp_path, {})
