"""Tokenizers in GGUF files: llama.cpp cuts texts into the tokens that transformers does."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")

import gguf_models

from merger.gguf.byte_level import _ONE_DIGIT, _THREE_DIGITS
from merger.gguf.writer import write_gguf
from patientdx.errors import MergeError
from patientdx.models import ModelSettings
from patientdx.models.llamacpp import LlamaCppModel

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


def texts(count: int, special: list[str], seed: int = 0) -> list[str]:
    """Random texts of words, digits, blanks, line ends, signs, scripts and special tokens."""
    chance = random.Random(seed)
    words = " ".join(gguf_models.TEXTS).split(" ")
    pieces: list[Callable[[], str]] = [
        lambda: chance.choice(words),
        lambda: " " * chance.randint(1, 4),
        lambda: chance.choice("\n\t\r") * chance.randint(1, 3),
        lambda: str(chance.randint(0, 10 ** chance.randint(1, 7))),
        lambda: "".join(chance.choices("'sSTtDdMLlRrVvEe", k=3)),
        lambda: "".join(chance.choices(".,;:!?-–()[]{}<>=+*/\\\"'`~@#$%^&_|", k=2)),
        lambda: "".join(chance.choices("äöüßÄÉñçøå漢字仮名привет٣٤½Ⅷعشق한국", k=3)),
        lambda: chance.choice(["😀", "👩\u200d⚕️", "🇩🇪", "\u00a0", "\u3000", "▁"]),
        lambda: chance.choice(special) if special else "",
    ]
    made = [
        "".join(chance.choice(pieces)() for _ in range(chance.randint(1, 12))) for _ in range(count)
    ]
    return [*gguf_models.TEXTS[:5], *(text for text in made if text)]


@contextmanager
def opened(folder: Path, path: Path) -> Iterator[LlamaCppModel]:
    write_gguf(folder, path, "F16", title="tokens")
    model = LlamaCppModel.load(path, ModelSettings(threads=1, context=256))
    try:
        yield model
    finally:
        model.close()


def compare(folder: Path, words: Any, special: list[str], count: int = 300) -> None:
    """llama.cpp's ids of random texts beside those of a tokenizer of transformers."""
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    with opened(folder, folder / "tokens.gguf") as model:
        for text in texts(count, special):
            assert model._api.encode(text) == words(text)["input_ids"], text


def byte_level_tokenizers() -> dict[str, Callable[[], Any]]:
    from tokenizers import normalizers, pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    steps = gguf_models.regex_steps
    return {
        "gpt-2": gguf_models.byte_level,
        "smollm": lambda: gguf_models.byte_level(digits, plain),
        "dbrx": lambda: gguf_models.byte_level(*steps(_THREE_DIGITS)),
        "llama-bpe": lambda: gguf_models.byte_level(*steps(_THREE_DIGITS), ignore_merges=True),
        "qwen2": lambda: gguf_models.byte_level(*steps(_ONE_DIGIT), normalizer=normalizers.NFC()),
    }


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "dbrx", "llama-bpe", "qwen2"])
def test_byte_level_bpe(tmp_path: Path, name: str) -> None:
    words = byte_level_tokenizers()[name]()
    words.add_tokens(["<user-defined>"])
    folder = gguf_models.save_model(tmp_path / "model", "llama", words, **SMALL)
    plan = write_gguf(folder, tmp_path / "file", "F16", title="x")
    assert plan.metadata["tokenizer.ggml.pre"] == name
    assert [("NFC" in remark) for remark in plan.remarks] == [True] * (name == "qwen2")
    compare(folder, words, [*SPECIAL, "<user-defined>"])


def test_the_start_token_is_put_before_texts_where_transformers_does(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    words = gguf_models.byte_level()
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", words.bos_token_id)]
    )
    folder = gguf_models.save_model(tmp_path / "model", "llama", words, **SMALL)
    assert words("a")["input_ids"][0] == words.bos_token_id
    compare(folder, words, SPECIAL, count=20)
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(settings | {"add_bos_token": False}), encoding="utf-8")
    plan = write_gguf(folder, tmp_path / "file", "F16", title="x")
    assert plan.metadata["tokenizer.ggml.add_bos_token"] is False


def sentencepiece_folder(folder: Path, **options: Any) -> tuple[Path, Any]:
    """A model beside a tokenizer.model alone, and its tokenizer."""
    pytest.importorskip("sentencepiece")
    import sentencepiece

    gguf_models.save_sentencepiece(folder / "tokenizer", **options)
    words = sentencepiece.SentencePieceProcessor(
        model_file=str(folder / "tokenizer/tokenizer.model")
    )
    stand_in = gguf_models.byte_level()
    rows = words.vocab_size() + 8
    model = gguf_models.save_model(folder / "model", "llama", stand_in, vocab_size=rows, **SMALL)
    for path in model.glob("*token*"):
        path.unlink()
    shutil.copy(folder / "tokenizer/tokenizer.model", model)
    return model, words


def test_a_tokenizer_model_alone(tmp_path: Path) -> None:
    """Beside SentencePiece itself."""
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    folder, words = sentencepiece_folder(tmp_path, user_defined_symbols=["<user>", "\n\n"])
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
        encoding="utf-8",
    )
    with opened(folder, tmp_path / "tokens.gguf") as model:
        for text in texts(300, []):
            expected = [words.bos_id(), *words.encode(text)]
            if "<user>" not in text and "\n\n" not in text and "▁" not in text:
                assert model._api.encode(text) == expected, text


@pytest.mark.parametrize("kind", ["prepend", "metaspace", "gemma"])
def test_a_tokenizer_json_of_sentencepiece(tmp_path: Path, kind: str) -> None:
    """As transformers converted Llama 2's, as it converts them today, and as Gemma's."""
    folder, pieces = sentencepiece_folder(tmp_path)
    words = tokenizer_json(pieces, kind)
    words.save_pretrained(folder)
    (folder / "tokenizer.model").unlink()
    plan = write_gguf(folder, tmp_path / "file", "F16", title="x")
    assert len(plan.remarks) == (kind == "metaspace")
    if kind == "metaspace":  # such texts differ, as the remark tells
        pytest.importorskip("xllamacpp", reason="needs the extra local")
        with opened(folder, tmp_path / "tokens.gguf") as model:
            for text in texts(300, []):
                if not text.startswith((" ", "▁")):
                    assert model._api.encode(text) == words(text)["input_ids"], text
        return
    compare(folder, words, ["<s>", "</s>", "<user>"])


def tokenizer_json(pieces: Any, kind: str) -> Any:
    """A tokenizer of the library `tokenizers` with the pieces of a SentencePiece model."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    texts_by_id = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    vocabulary = {text: number for number, text in enumerate(texts_by_id)}
    control = texts_by_id[:3]
    merges = [
        (text[:i], text[i:])
        for text in texts_by_id
        if text not in control
        for i in range(1, len(text))
        if text[:i] in vocabulary and text[i:] in vocabulary
    ]
    inner = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    blanks = normalizers.Replace(" ", "▁")
    if kind == "prepend":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blanks])
    elif kind == "gemma":
        inner.normalizer = blanks
        inner.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    inner.add_special_tokens([AddedToken(text, normalized=False) for text in control])
    inner.add_tokens([AddedToken("<user>", normalized=False)])
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return gguf_models.wrap(inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def changed(tokenizer: dict[str, Any], name: str) -> None:
    """Changes a tokenizer.json into one that llama.cpp would read otherwise."""
    model = tokenizer["model"]
    if name == "other words":
        tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": r"\p{L}+|\s+"}
    elif name == "prefix":
        tokenizer["pre_tokenizer"] = {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "use_regex": True,
        }
    elif name == "lower case":
        tokenizer["normalizer"] = {"type": "Lowercase"}
    elif name == "no bytes":
        tokenizer["pre_tokenizer"]["pretokenizers"].pop()
    elif name == "blanks":
        tokenizer["added_tokens"][0]["rstrip"] = True
    elif name == "several":
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
        }
    elif name == "not the start":
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
        }
    elif name == "dropout":
        model["dropout"] = 0.1
    elif name == "beyond":
        tokenizer["added_tokens"].append(
            {"id": 5000, "content": "<far>", "special": False, "normalized": False}
        )
    elif name == "word pieces":
        tokenizer["model"] = {"type": "WordPiece", "vocab": model["vocab"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other words", "has no name known to us for how it cuts texts"),
        ("prefix", "has no name known to us for how it cuts texts"),
        ("no bytes", "has no name known to us for how it cuts texts"),
        ("lower case", "it normalises texts"),
        ("blanks", "is matched with rstrip"),
        ("several", "puts several tokens around texts"),
        ("not the start", "which is not its bos token"),
        ("dropout", "its BPE sets `dropout`"),
        ("beyond", r"has the id 5,000 and the merge \d+ rows"),
        ("word pieces", "it is WordPiece, not BPE"),
    ],
)
def test_tokenizers_that_llama_cpp_would_read_otherwise_are_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    words = byte_level_tokenizers()["qwen2"]()
    folder = gguf_models.save_model(tmp_path / "model", "llama", words, **SMALL)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    changed(content, name)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MergeError, match=message):
        write_gguf(folder, tmp_path / "file", "F16", title="x")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "merges"), None),
        (("model", "merges"), [1]),
        (("model", "vocab"), {"a": "b"}),
        (("pre_tokenizer",), {"type": "Sequence"}),
        (("pre_tokenizer",), [1]),
        (("normalizer",), {"type": "Sequence", "normalizers": [1]}),
        (("post_processor",), {"type": "TemplateProcessing", "single": [1]}),
        (("post_processor",), {"type": "TemplateProcessing", "single": [{}]}),
        (("decoder",), "ByteLevel"),
        (("added_tokens",), [{"id": "x", "content": "y"}]),
        (("added_tokens",), [{"content": "y"}]),
    ],
)
def test_files_of_another_layout_are_refused(
    tmp_path: Path, place: tuple[str, ...], value: object
) -> None:
    words = byte_level_tokenizers()["qwen2"]()
    folder = gguf_models.save_model(tmp_path / "model", "llama", words, **SMALL)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    part = content["model"] if len(place) > 1 else content
    part[place[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MergeError, match="not laid out as expected"):
        write_gguf(folder, tmp_path / "file", "F16", title="x")
    assert not (tmp_path / "file").exists()


def apart(model: dict[str, Any]) -> None:
    """Moves one of the several merges of a token behind all others."""
    unions = ["".join(merge) for merge in model["merges"]]
    several = next(i for i, union in enumerate(unions) if unions.count(union) > 1)
    model["merges"].append(model["merges"].pop(several))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model["merges"].pop(40), "are not all there"),
        (apart, "the merges of a token are apart"),
        (lambda model: model.update(byte_fallback=False), "does not spell unknown characters"),
        (lambda model: model["vocab"].pop("<0x41>"), "does not spell unknown characters"),
    ],
)
def test_merges_that_scores_cannot_stand_for_are_refused(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    folder, pieces = sentencepiece_folder(tmp_path)
    tokenizer_json(pieces, "prepend").save_pretrained(folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["model"])
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MergeError, match=message):
        write_gguf(folder, tmp_path / "file", "F16", title="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "unigram", "hard_vocab_limit": False}, "it is not BPE"),
        ({"normalization_rule_name": "nmt_nfkc"}, "it normalises texts"),
        ({"byte_fallback": False, "vocab_size": 200}, "does not spell unknown characters"),
    ],
)
def test_models_of_sentencepiece_that_llama_cpp_would_read_otherwise_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    folder, _ = sentencepiece_folder(tmp_path, **options)
    with pytest.raises(MergeError, match=message):
        write_gguf(folder, tmp_path / "file", "F16", title="x")


def test_a_broken_tokenizer_model_and_none_at_all_are_refused(tmp_path: Path) -> None:
    folder, _ = sentencepiece_folder(tmp_path)
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MergeError, match="not a model of SentencePiece"):
        write_gguf(folder, tmp_path / "file", "F16", title="x")
    path.unlink()
    with pytest.raises(MergeError, match=r"has no tokenizer\.json or tokenizer\.model"):
        write_gguf(folder, tmp_path / "file", "F16", title="x")
