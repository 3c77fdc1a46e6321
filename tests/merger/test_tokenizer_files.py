"""Tokenizer files read without extras, against transformers, sentencepiece and tokenizers."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("sentencepiece", reason="needs the extra hf")

import sentencepiece
from small_tokenizers import (
    CHATML,
    add_tokens,
    byte_tokens,
    save_fast,
    save_pieces,
    write_json,
    write_tekken,
    write_tiktoken,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from merger.vocabulary.byte_tokens import spell_bytes
from merger.vocabulary.problems import vocabulary_problems
from merger.vocabulary.reading import read_vocabulary
from patientdx.errors import MergeError


def by_transformers(folder: Path) -> dict[int, str]:
    """The tokens by id that AutoTokenizer has."""
    if not (folder / "config.json").exists():
        write_json(folder / "config.json", {"model_type": "llama"})
    tokens: dict[str, int] = AutoTokenizer.from_pretrained(folder).get_vocab()
    return {number: token for token, number in tokens.items()}


@pytest.mark.parametrize("kind", ["BPE", "WordPiece", "Unigram", "WordLevel"])
def test_every_model_of_tokenizer_json(kind: str, tmp_path: Path) -> None:
    folder = save_fast(tmp_path, kind, special={"pad_token": "[PAD]"})
    vocabulary = read_vocabulary(folder, {})
    assert vocabulary.tokens == by_transformers(folder)
    assert vocabulary.padding == "[PAD]"
    assert vocabulary.is_known


@pytest.mark.parametrize("named", ["tokenizer_config.json", "special_tokens_map.json"])
def test_special_tokens_without_an_id_get_the_ids_that_transformers_gives(
    named: str, tmp_path: Path
) -> None:
    folder = save_fast(tmp_path, "BPE")
    path = folder / named
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    content |= {"pad_token": "[PAD]", "additional_special_tokens": ["<a>", "<b>", "</s>"]}
    write_json(path, content)
    tokens = by_transformers(folder)
    assert len(tokens) == 303
    assert read_vocabulary(folder, {}).size == 303
    assert set((read_vocabulary(folder, {}).tokens or {}).values()) == set(tokens.values())
    assert vocabulary_problems(folder, {}, 302)
    assert not vocabulary_problems(folder, {}, 303)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
def test_pieces_of_sentencepiece(kind: str, tmp_path: Path) -> None:
    more: dict[str, Any] = {}
    if kind == "unigram":
        more = {"pad_id": 3, "user_defined_symbols": ["<sep>", "é"]}
    if kind == "bpe":
        more = {"byte_fallback": True, "vocab_size": 340}
    folder = save_pieces(tmp_path, kind, **more)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    expected = {number: model.id_to_piece(number) for number in range(model.vocab_size())}
    assert read_vocabulary(folder, {}).tokens == expected


@pytest.mark.parametrize("form", ["file", "decoder", "both"])
@pytest.mark.parametrize("fast", [False, True])
def test_added_tokens_of_a_tokenizer_model(form: str, tmp_path: Path, *, fast: bool) -> None:
    folder = save_pieces(tmp_path)
    size = read_vocabulary(folder, {}).size
    added = {token: size + n for n, token in enumerate(CHATML)}
    add_tokens(folder, added, form, eos_token=CHATML[0])
    tokens = by_transformers(folder)
    if fast:
        backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        backend.save(str(folder / "tokenizer.json"))
    vocabulary = read_vocabulary(folder, {})
    assert vocabulary.tokens == tokens == by_transformers(folder)
    assert vocabulary.size == size + 2
    assert vocabulary.roles["eos_token"] == CHATML[0]


def test_files_of_before_tokenizer_json(tmp_path: Path) -> None:
    gpt2, bert = tmp_path / "gpt2", tmp_path / "bert"
    made = json.loads((save_fast(tmp_path, "BPE") / "tokenizer.json").read_text("utf-8"))["model"]
    for folder in (gpt2, bert):
        folder.mkdir()
    write_json(gpt2 / "vocab.json", made["vocab"] | {"<|endoftext|>": len(made["vocab"])})
    merges = "".join(f"{a} {b}\n" for a, b in made["merges"])
    (gpt2 / "merges.txt").write_text(f"#version: 0.2\n{merges}", "utf-8")
    write_json(gpt2 / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fever", "##s", "°C"]
    (bert / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    write_json(bert / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    for folder in (gpt2, bert):
        assert read_vocabulary(folder, {}).tokens == by_transformers(folder)


def test_byte_tokens_are_spelled_as_in_tokenizer_json(tmp_path: Path) -> None:
    alphabet = Tokenizer(models.BPE())
    alphabet.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in (" the", "fever\n", "é°C", "\t\x00\x7f\xa0\xad"):
        ((spelled, _),) = alphabet.pre_tokenizer.pre_tokenize_str(text)
        assert spell_bytes(text.encode()) == spelled
    assert sorted(map(spell_bytes, byte_tokens()[:256])) == sorted(
        pre_tokenizers.ByteLevel.alphabet()
    )


@pytest.mark.parametrize("name", ["tokenizer.model", "qwen.tiktoken", "tiktoken.model"])
def test_tiktoken_files_leave_open_what_their_code_adds(name: str, tmp_path: Path) -> None:
    tokens = byte_tokens()
    write_tiktoken(tmp_path / name, tokens)
    vocabulary = read_vocabulary(tmp_path, {})
    assert vocabulary.tokens == dict(enumerate(map(spell_bytes, tokens)))
    assert not vocabulary.is_known
    assert vocabulary.files == (name,)


def test_tekken_has_its_special_tokens_first_and_only_the_ids_in_use(tmp_path: Path) -> None:
    tokens = byte_tokens(b"never", b"in", b"use")
    write_tekken(tmp_path / "tekken.json", tokens, ["<unk>", "<s>", "</s>"], 10, 10 + 259)
    vocabulary = read_vocabulary(tmp_path, {})
    fillers = [f"<SPECIAL_{n}>" for n in range(3, 10)]
    expected = ["<unk>", "<s>", "</s>", *fillers, *map(spell_bytes, tokens[:259])]
    assert vocabulary.tokens == dict(enumerate(expected))
    assert vocabulary.is_known


def test_files_of_one_tokenizer_go_together(tmp_path: Path) -> None:
    tokens = byte_tokens()
    write_tiktoken(tmp_path / "tokenizer.model", tokens)
    table = {spell_bytes(token): number for number, token in enumerate(tokens)}
    tokenizer = {"model": {"type": "BPE", "vocab": table, "merges": []}, "added_tokens": []}
    write_json(tmp_path / "tokenizer.json", tokenizer)
    assert read_vocabulary(tmp_path, {}).is_known, "tokenizer.json has all tokens"


CONTRADICTIONS: dict[str, tuple[str, Any]] = {
    "another token": ("added_tokens.json", {"<|im_end|>": 40}),
    "one id, two tokens": ("added_tokens.json", {"<a>": 80, "<b>": 80}),
    "no number": ("added_tokens.json", {"<a>": "80"}),
    "a truth value": ("added_tokens.json", {"<a>": True}),
    "below zero": ("added_tokens.json", {"<a>": -1}),
    "beyond all models": ("added_tokens.json", {"<a>": 10**30}),
    "a list": ("added_tokens.json", ["<a>"]),
    "a decoder": ("tokenizer_config.json", {"added_tokens_decoder": {"40": {"content": "<a>"}}}),
    "a decoder of words": ("tokenizer_config.json", {"added_tokens_decoder": {"x": "<a>"}}),
    "a decoder that is a list": ("tokenizer_config.json", {"added_tokens_decoder": ["<a>"]}),
    "an older vocabulary": ("vocab.json", {"hello": 5}),
    "no vocabulary": ("tokenizer.json", {"model": {}}),
    "nothing": ("tokenizer.json", {}),
    "bare pieces": ("tokenizer.json", {"model": {"vocab": ["a"]}}),
    "bare added tokens": ("tokenizer.json", {"model": {"vocab": {}}, "added_tokens": ["a"]}),
    "an added token of its own": (
        "tokenizer.json",
        {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 0, "content": "b"}]},
    ),
    "tekken without counts": ("tekken.json", {"config": {}, "vocab": []}),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_what_is_damaged_or_contradicts_itself_is_refused(kind: str, tmp_path: Path) -> None:
    folder = save_pieces(tmp_path)
    name, content = CONTRADICTIONS[kind]
    write_json(folder / name, content)
    with pytest.raises(MergeError) as caught:
        read_vocabulary(folder, {})
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert vocabulary_problems(folder, {}, 80) == [caught.value.message]


def test_names_in_reserve_may_be_given_anew(tmp_path: Path) -> None:
    folder = save_pieces(tmp_path, user_defined_symbols=["[UNUSED_TOKEN_1]"])
    tokens = read_vocabulary(folder, {}).tokens or {}
    (number,) = (n for n, token in tokens.items() if token == "[UNUSED_TOKEN_1]")
    add_tokens(folder, {"<|im_end|>": number}, "decoder")
    assert (read_vocabulary(folder, {}).tokens or {})[number] == "<|im_end|>"


PROBLEMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "end": ({"eos_token_id": 80}, {}, "eos_token_id of config.json is 80"),
    "list": ({}, {"eos_token_id": [2, 99]}, "eos_token_id of generation_config.json is 99"),
    "part": ({"text_config": {"pad_token_id": 80}}, {}, "pad_token_id of config.json is 80"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_ids_beyond_the_rows_are_problems(kind: str, tmp_path: Path) -> None:
    folder = save_pieces(tmp_path)
    config, generation, problem = PROBLEMS[kind]
    write_json(folder / "generation_config.json", generation)
    assert vocabulary_problems(folder, {"pad_token_id": -1, "bos_token_id": None}, 80) == [
        *([] if not generation else [f"{problem}, and the embeddings have 80 rows"])
    ]
    assert vocabulary_problems(folder, config, 80) == [
        f"{problem}, and the embeddings have 80 rows"
    ]
    assert vocabulary_problems(folder, config, 100) == []
    assert vocabulary_problems(folder, config, 0) == []
