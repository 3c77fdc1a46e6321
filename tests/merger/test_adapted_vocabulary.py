"""A model with a LoRA adapter has the vocabulary of its base, or of the adapter's training."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("peft", reason="needs the extras hf and merge")

import peft
import torch
from small_merges import loaded, save_model, tensors
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from merger.execution import MergeResult, merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from merger.verification import verify_merge
from patientdx.errors import MergeError

pytestmark = pytest.mark.filterwarnings("ignore")  # of PEFT

TINY: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 4, "context": 32}


def save_words(folder: Path, words: list[str]) -> None:
    """A tokenizer of whole words whose ids are their places."""
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0").save_pretrained(folder)


def words(count: int, *more: str) -> list[str]:
    """The words w0, w1 ..., and others."""
    return [*(f"w{i}" for i in range(count)), *more]


def save_lora(base: Path, folder: Path, rows: int | None = None, **options: Any) -> Path:
    """A random LoRA on the query projections; with `rows`, of embeddings that were resized."""
    net = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    torch.manual_seed(5)
    if rows:
        net.resize_token_embeddings(rows, mean_resizing=False)
    settings = peft.LoraConfig(
        r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False, **options
    )
    peft.get_peft_model(net, settings).save_pretrained(folder)
    return folder


def merged(
    a: Path, b: Path, into: Path, weight: float = 0.4, adapters: tuple[Path | None, ...] = ()
) -> MergeResult:
    """A SLERP of two models, of which some have adapters."""
    recipe = parse_recipe(to_yaml(two_model_recipe("slerp", str(a), str(b), weight)))
    pairs = zip(recipe.inputs, adapters, strict=False)
    job = MergeJob(
        recipe,
        dict(zip(recipe.inputs, (a, b), strict=True)),
        {ref: adapter for ref, adapter in pairs if adapter},
    )
    return merge(job, into)


def test_an_adapter_does_not_hide_other_tokens(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        save_model(tmp_path / name, seed=seed, vocabulary=60, **TINY)
    save_words(tmp_path / "a", words(60))
    save_words(tmp_path / "b", [*words(20), *reversed(words(60)[20:])])
    lora = save_lora(tmp_path / "b", tmp_path / "lora")
    for adapters in ((None, None), (None, lora)):
        with pytest.raises(MergeError, match=r"other tokens than .* at 40 ids, the first at 20"):
            merged(tmp_path / "a", tmp_path / "b", tmp_path / "out", adapters=adapters)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_an_adapter_does_not_hide_added_tokens(weight: float, tmp_path: Path) -> None:
    chat, plain = tmp_path / "chat", tmp_path / "plain"
    save_model(chat, seed=1, vocabulary=64, **TINY)
    save_model(plain, seed=2, vocabulary=60, **TINY)
    save_words(chat, words(60, "<|im_end|>", "<|im_start|>"))
    save_words(plain, words(60))
    lora = save_lora(chat, tmp_path / "lora")
    done = merged(chat, plain, tmp_path / "out", weight, adapters=(lora,))
    assert "the merge has 62" in " ".join(done.remarks)
    net = loaded(tmp_path / "out")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == 62
    assert net.get_input_embeddings().weight.shape[0] == net.config.vocab_size == 62
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = tensors(tmp_path / "out")[name]
        assert torch.equal(rows[60:], tensors(chat)[name][60:62])
        assert torch.equal(rows, tensors(chat)[name][:62]) == (weight == 0)
    assert not verify_merge(tmp_path / "out").different
    with pytest.raises(MergeError, match=r"2 tokens that .* lacks"):
        merged(plain, chat, tmp_path / "other", adapters=(None, lora))


def test_rows_that_an_adapter_adds_come_with_its_tokenizer(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for seed, folder in enumerate((a, b)):
        save_model(folder, seed=seed, vocabulary=60, **TINY)
        save_words(folder, words(60))
    lora = save_lora(a, tmp_path / "lora", rows=62)
    with pytest.raises(MergeError, match=r"changes the vocabulary rows of .* has no tokenizer"):
        merged(a, b, tmp_path / "out", adapters=(lora,))
    save_words(lora, words(60, "<|im_end|>", "<|im_start|>"))
    merged(a, b, tmp_path / "out", 0.0, adapters=(lora,))
    net = AutoModelForCausalLM.from_pretrained(a, dtype="auto")
    net.resize_token_embeddings(62, mean_resizing=False)
    expected = peft.PeftModel.from_pretrained(net, lora).merge_and_unload().state_dict()
    for name, tensor in tensors(tmp_path / "out").items():
        assert torch.equal(tensor, expected[name]), name
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == 62
    assert loaded(tmp_path / "out").config.vocab_size == 62


def test_a_tied_head_that_peft_saved_beside_the_embeddings_is_no_difference(
    tmp_path: Path,
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for seed, folder in enumerate((a, b)):
        save_model(folder, seed=seed, vocabulary=60, tie_word_embeddings=True, **TINY)
        save_words(folder, words(60))
    lora = save_lora(a, tmp_path / "lora", rows=61)
    save_words(lora, words(60, "<pad>"))
    merged(a, b, tmp_path / "out", adapters=(lora,))
    assert tensors(tmp_path / "out")["model.embed_tokens.weight"].shape[0] == 61
    assert json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["vocab_size"] == 61


def test_a_tokenizer_beside_an_adapter_without_rows_of_its_own_is_passed_over(
    tmp_path: Path,
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for seed, folder in enumerate((a, b)):
        save_model(folder, seed=seed, vocabulary=60, **TINY)
        save_words(folder, words(60))
    lora = save_lora(a, tmp_path / "lora")
    save_words(lora, words(60, "<pad>"))
    (lora / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    done = merged(a, b, tmp_path / "out", adapters=(lora,))
    assert f"the adapter of {a} has no rows for 1 tokens" in " ".join(done.remarks)
    assert f"chat template beside the adapter of {a}" in " ".join(done.remarks)
    assert not (tmp_path / "out" / "chat_template.jinja").exists()
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == 60
