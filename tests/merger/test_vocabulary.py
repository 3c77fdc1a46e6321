"""Vocabularies: padding rows trimmed or kept as tokens need them, real differences refused."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("transformers", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")

import torch
from small_merges import by_mergekit, logits, save_model, tensors
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from merger.execution import MergeResult, merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from merger.vocabulary.reading import Vocabulary
from merger.vocabulary.rows import choose_rows
from patientdx.errors import MergeError

TINY: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 4, "context": 32}


def save_words(folder: Path, count: int, *, pad: bool = False) -> None:
    """A tokenizer of whole words w0, w1 ...; `pad` adds [PAD] as DART-Math has it."""
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w0"))
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0")
    if pad:
        made.add_special_tokens({"pad_token": "[PAD]"})
    made.save_pretrained(folder)


def trimmed(folder: Path, into: Path, rows: int) -> Path:
    """A model cut to its first rows by hand."""
    from safetensors.torch import save_file

    into.mkdir()
    kept = tensors(folder)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        kept[name] = kept[name][:rows].clone()
    save_file(kept, into / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"vocab_size": rows}
    (into / "config.json").write_text(json.dumps(config), "utf-8")
    return into


def merged(a: Path, b: Path, into: Path, **options: Any) -> MergeResult:
    recipe = parse_recipe(to_yaml(two_model_recipe("slerp", str(a), str(b), 0.4)))
    return merge(MergeJob(recipe, dict(zip(recipe.inputs, (a, b), strict=True)), **options), into)


@pytest.mark.parametrize(("few", "many"), [(250, 314), (32_000, 32_064)])
def test_padding_rows_as_dart_math_has_them(few: int, many: int, tmp_path: Path) -> None:
    """The merge loads, and says of ordinary text what a merge of hand-trimmed inputs says."""
    math, instruct = tmp_path / "math", tmp_path / "instruct"
    save_model(math, seed=1, dtype="float32", vocabulary=many, **TINY)
    save_model(instruct, seed=2, dtype="float32", vocabulary=few, **TINY)
    save_words(math, few, pad=True)
    save_words(instruct, few)
    text = [7, 3, few - 1, 0, 12]
    hand = [trimmed(model, tmp_path / f"{model.name}-cut", few) for model in (math, instruct)]
    for at, (a, b) in enumerate([(math, instruct), (instruct, math)]):
        out = tmp_path / f"out{at}"
        done = merged(a, b, out)
        base, other = hand if at == 0 else hand[::-1]
        recipe = two_model_recipe("slerp", str(base), str(other), 0.4)
        expected = logits(by_mergekit(recipe, tmp_path / f"hand{at}"), text)
        scores = logits(out, text)
        # The tokenizer of Math has one token more, and the base's tokenizer is the merge's.
        assert (
            scores.shape[1]
            == (few + 1 if at == 0 else few)
            == len(AutoTokenizer.from_pretrained(out))
        )
        torch.testing.assert_close(scores[:, :few], expected, rtol=1e-5, atol=1e-5)
        assert any(f"vocabulary rows: {many:,} in " in remark or f"{many:,} in" in remark
                   for remark in done.remarks)  # fmt: skip
    # The row that Instruct lacks is Math's own.
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(tensors(tmp_path / "out0")[name][few], tensors(math)[name][few])


def test_both_engines_trim_alike(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    save_model(a, seed=1, vocabulary=128, **TINY)
    save_model(b, seed=2, vocabulary=100, **TINY)
    save_words(a, 100)
    save_words(b, 100)
    for engine in ("stream", "mergekit"):
        merged(a, b, tmp_path / engine, engine=engine)
    ours, theirs = tensors(tmp_path / "stream"), tensors(tmp_path / "mergekit")
    assert ours["lm_head.weight"].shape == theirs["lm_head.weight"].shape == (100, 16)
    for folder in ("stream", "mergekit"):
        assert logits(tmp_path / folder, [1, 99]).shape == (2, 100)
    save_words(a, 110)  # tokens that only the base has rows for
    with pytest.raises(MergeError, match="110 vocabulary rows; MergeKit cuts them to 100"):
        merged(a, b, tmp_path / "more", engine="mergekit")
    merged(a, b, tmp_path / "more")
    assert logits(tmp_path / "more", [1]).shape == (1, 110)


def test_an_aligned_vocabulary_is_mergekit_s_work(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    save_model(a, seed=1, vocabulary=100, **TINY)
    save_model(b, seed=2, vocabulary=100, **TINY)
    save_words(a, 90)
    inner = Tokenizer(models.WordLevel({f"w{(i + 1) % 95}": i for i in range(95)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0").save_pretrained(b)
    with pytest.raises(MergeError, match=r"other tokens than .* at 90 ids") as caught:
        merged(a, b, tmp_path / "out")
    assert "tokenizer: {source: base}" in str(caught.value.hint)
    assert not (tmp_path / "out").exists()
    data = two_model_recipe("slerp", str(a), str(b), 0.4)
    recipe = parse_recipe(to_yaml(data | {"tokenizer": {"source": "union"}}))
    job = MergeJob(recipe, dict(zip(recipe.inputs, (a, b), strict=True)))
    assert merge(job, tmp_path / "out").engine.startswith("mergekit")
    assert logits(tmp_path / "out", [1]).shape == (1, 95)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == 95


WORDS = {i: f"w{i}" for i in range(10)}


def test_rows_that_differ_are_reported_and_chosen() -> None:
    same = Vocabulary(WORDS)
    assert choose_rows(["A", "B"], [10, 10], [same, same], 0).rows == 10
    assert choose_rows(["A", "B"], [16, 16], [same, same], 0).rows == 16, "padding of both stays"
    assert choose_rows(["A", "B"], [16, 12], [same, same], 0).rows == 12
    assert choose_rows(["A", "B"], [16, 12], [same, same], 1).rows == 12
    # Ids that a configuration names are kept where they have a row.
    special = Vocabulary(WORDS, special=(3, 13, 20))
    assert choose_rows(["A", "B"], [16, 12], [special, same], 0).rows == 14


def test_rows_that_may_be_tokens_are_kept_or_the_merge_is_refused() -> None:
    none, same = Vocabulary(None), Vocabulary(WORDS)
    partly = Vocabulary(WORDS, complete=False, files=("qwen.tiktoken",))
    for unknown in (none, partly):
        for other in (none, partly, same):
            assert choose_rows(["A", "B"], [16, 12], [unknown, other], 0).rows == 16
        with pytest.raises(MergeError, match="rows 12 to 15 of A would be lost"):
            choose_rows(["A", "B"], [16, 12], [unknown, same], 1)
    longer = Vocabulary({i: f"w{i}" for i in range(14)})
    with pytest.raises(MergeError, match="rows 12 to 15 of A would be lost"):
        choose_rows(["A", "B"], [16, 12], [longer, none], 1)
    assert choose_rows(["A", "B"], [16, 12], [same, none], 1).rows == 12, "shown to be padding"


def test_a_base_whose_tokens_have_no_row_is_refused() -> None:
    same, longer = Vocabulary(WORDS), Vocabulary(WORDS | {10: "x", 12: "y"})
    with pytest.raises(MergeError, match=r"tokenizer of A has 3 ids without a row.* `x`"):
        choose_rows(["A", "B"], [10, 10], [longer, same], 0)
    assert choose_rows(["A", "B"], [10, 14], [longer, same], 0).rows == 13, "B has the rows"


def test_only_what_could_not_be_compared_is_reported_so() -> None:
    def remarks(*vocabularies: Vocabulary) -> str:
        names = ["A", "B"]
        return "\n".join(choose_rows(names, [10, 10], vocabularies, 0).remarks)

    same = Vocabulary(WORDS, files=("tokenizer.json",), digest="tokenizer.json 1")
    model = Vocabulary(WORDS, files=("tokenizer.model",), digest="tokenizer.model 2")
    shifted = Vocabulary(None, files=("spiece.model",), digest="3")
    other = Vocabulary(None, files=("spiece.model",), digest="4")
    none = Vocabulary(None)
    assert remarks(same, model) == remarks(shifted, shifted) == ""
    assert "could not be compared" in remarks(shifted, other)
    assert "could not be compared" in remarks(same, shifted)
    assert remarks(same, none) == "B has no tokenizer to compare"
    assert remarks(none, none) == "A has no tokenizer, so the merge has none"
    assert remarks(none, same) == (
        "A has no tokenizer, so the merge has none; B has one: `tokenizer_source: B`"
    )


def test_tokens_are_not_lost_without_a_word() -> None:
    base = Vocabulary(WORDS)
    padded = Vocabulary(WORDS | {10: "[PAD]"}, padding="[PAD]")
    chat = Vocabulary(WORDS | {10: "<|im_start|>"})
    assert "`[PAD]`, is dropped" in choose_rows(["A", "B"], [10, 16], [base, padded], 0).remarks[0]
    assert choose_rows(["A", "B"], [10, 16], [base, chat], 1).rows == 11
    with pytest.raises(MergeError, match=r"1 tokens that A lacks, the first is `<\|im_start\|>`"):
        choose_rows(["A", "B"], [10, 16], [base, chat], 0)
    other = Vocabulary(dict(WORDS) | {3: "other"})
    with pytest.raises(MergeError, match="other tokens than A at 1 ids, the first at 3"):
        choose_rows(["A", "B"], [10, 10], [base, other], 0)
