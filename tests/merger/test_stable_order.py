"""Merges by MergeKit whose result would depend on the order of sets and maps: always the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")

from command_line import patientdx
from paths import ROOT
from small_merges import save_model

from merger.engines.stable_order import stable_order

NAMES = ("first", "second", "third")
MODELS = "".join(f"- model: {name}\n  parameters: {{weight: 0.3}}\n" for name in NAMES)
UNION = "merge_method: linear\ndtype: float32\ntokenizer: {source: union}\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with three models, each with words that the others do not have."""
    for seed, name in enumerate(NAMES):
        words = ["<unk>", "fever", "cough", *(f"{name}{number}" for number in range(40))]
        save_model(
            tmp_path / name, seed=seed, vocabulary=len(words), rms_norm_eps=10 ** -(5 + seed)
        )
        save_words(tmp_path / name, words)
    (tmp_path / "based.yml").write_text(f"models:\n{MODELS}{UNION}base_model: second\n", "utf-8")
    (tmp_path / "free.yml").write_text(f"models:\n{MODELS}{UNION}", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_words(folder: Path, words: list[str]) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)


@pytest.mark.parametrize("recipe", ["based", "free"])
def test_a_union_of_tokenizers_is_the_same_in_every_process(recipe: str, place: Path) -> None:
    outcome = patientdx("merge", f"{recipe}.yml", "--into", "out", env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 0, outcome.err
    outcome = patientdx("merge", "--verify", "out", env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 0, outcome.out
    subprocess.run(
        [sys.executable, ROOT / "cli.py", "merge", "--verify", "out", "--no-load-check"],
        env={**os.environ, "PATIENTDX_CACHE": "cache", "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
    )
    # Words are numbered by model and by id, wherever the models lie.
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(place / "out").get_vocab()
    order = sorted(ids, key=lambda word: ids[word])
    own = [word for word in order if word[-1].isdigit()]
    base = ["second", "first", "third"] if recipe == "based" else list(NAMES)
    assert own == [f"{name}{number}" for name in base for number in range(40)]
    moved = [(place / name).rename(place / f"{9 - at}-moved") for at, name in enumerate(NAMES)]
    outcome = patientdx("merge", "--verify", "out", *moved, env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 0, outcome.out


def test_mergekit_and_transformers_are_left_as_they_were(place: Path) -> None:
    import transformers
    from mergekit.common import ModelReference

    models = [ModelReference.model_validate(name) for name in NAMES]
    before = ModelReference.__hash__, transformers.PreTrainedTokenizerFast.get_vocab
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "first")
    with stable_order(models):
        assert list({models[2], models[0], models[1]}) == models
        assert list(tokenizer.get_vocab().values()) == list(range(43))
    assert before == (ModelReference.__hash__, transformers.PreTrainedTokenizerFast.get_vocab)
