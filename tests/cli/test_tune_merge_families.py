"""`tune-merge` of families whose parameters transformers composes on loading, or cannot run."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from family_checks import merge_by_peft
from tiny_families import FAMILIES, save_family_pair
from typer.testing import CliRunner, Result

from cli import app

TEXTS = ("the patient has a fever and chills", "pain in the chest", "the note of a patient")


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATIENTDX_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS))
    return path


def tune(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tune-merge", *map(str, arguments)])


def perplexity(family: str, folder: Path) -> float:
    """By the class of transformers and the definition, text by text."""
    import torch
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(folder)
    model_class: Any = getattr(transformers, FAMILIES[family].model)
    net = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    losses = []
    for text in TEXTS:
        ids = torch.tensor([[0, *words(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            logprobs = torch.log_softmax(net(ids).logits[0].double(), -1)
        losses += [-float(logprobs[at, token]) for at, token in enumerate(ids[0, 1:])]
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "deepseek_v3", "gpt_neox", "llava"])
def test_a_family_that_is_composed_on_loading_is_tuned(
    family: str, texts: Path, tmp_path: Path
) -> None:
    pair = save_family_pair(tmp_path, family, dtype="float32")
    into = tmp_path / "best"
    options = ("--text", texts, "--step", 0.5, "--resamples", 20, "--json", "--into", into)
    result = tune(*pair, *options)
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["pairs"].values()
    assert report["apparent"]["value"] == pytest.approx(perplexity(family, into), rel=1e-4)
    ends = [perplexity(family, folder) for folder in pair]
    assert report["apparent"]["value"] <= min(ends) * (1 + 1e-4)


@pytest.mark.parametrize("family", ["mixtral", "llava"])
def test_a_model_with_its_adapter_is_tuned(family: str, texts: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the extra merge")
    pair = save_family_pair(tmp_path, family, dtype="float32")
    adapter, _ = merge_by_peft(pair[0], family, tmp_path)
    into = tmp_path / "best"
    options = ("--text", texts, "--step", 0.5, "--resamples", 20, "--json", "--into", into)
    result = tune(f"{pair[0]}+{adapter}", pair[1], *options)
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["pairs"].values()
    assert report["apparent"]["value"] == pytest.approx(perplexity(family, into), rel=1e-4)


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_a_family_that_does_not_continue_text_is_refused(
    family: str, texts: Path, tmp_path: Path
) -> None:
    pair = save_family_pair(tmp_path, family)
    result = tune(*pair, "--text", texts, "--step", 0.5)
    assert result.exit_code == 1
    assert f"{pair[0]}: " in result.output
    assert "does not continue text" in result.output
    assert "patientdx merge" in result.output
