"""Siblings at toy size: two-layer models that learn two made-up subjects, then are merged."""

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from paths import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")

BENCHMARKS = ROOT / "benchmarks"
TRAINING = ("--steps", "12", "--batch", "2", "--length", "24", "--rate", "0.02", "--texts", "4")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


def run(script: str, *options: Any, code: int = 0) -> str:
    command: list[str | Path] = [sys.executable, BENCHMARKS / script, *map(str, options)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == code, shown.stderr
    return shown.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Problems and reports in the shapes of GSM8K and E3C."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "gsm8k").mkdir()
    for part, first in (("train", 0), ("test", 500)):
        rows = [
            {"question": f"{n} and {n + 1}?", "answer": f"It is <<{n}+{n + 1}={2 * n + 1}>>{n}."}
            for n in range(first, first + 90)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "gsm8k" / f"{part}.jsonl").write_text(text)
    (folder / "e3c").mkdir()
    with gzip.open(folder / "e3c" / "corpus.jsonl.gz", "wt") as stream:
        for n in range(200):
            text = f"the patient {n} has a fever and pain in the chest, day {n % 7}"
            stream.write(json.dumps({"_id": f"r{n}", "title": "", "text": text}) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    from tiny_models import save_folder

    source = save_folder(tmp_path_factory.mktemp("source"), initializer_range=0.1)
    into = tmp_path_factory.mktemp("siblings")
    run("siblings.py", "--source", source, "--into", into, "--data", data, *TRAINING)
    return into


def test_texts_to_learn_from_and_to_be_judged_by_are_apart(data: Path) -> None:
    texts = module("sibling_texts")
    problems, reports = texts.texts("math", data), texts.texts("medical", data)
    assert problems.train[0] == "Question: 0 and 1?\nAnswer: It is 0."
    assert len(problems.train) == len(problems.held_out) == 90
    assert len(reports.train) + len(reports.held_out) == 200
    assert 3 <= len(reports.held_out) <= 20
    for subject in (problems, reports):
        assert not {*subject.train} & {*subject.held_out}
    assert texts.chosen(reports.train, 5, 1) == texts.chosen(reports.train, 5, 1)
    assert texts.chosen(reports.train, 5, 1) != texts.chosen(reports.train, 5, 2)


def test_packed_rows_are_the_texts_one_after_another() -> None:
    from tiny_models import tokenizer

    texts, words = module("sibling_texts"), tokenizer()
    rows = texts.packed(["the patient", "has a fever"], words, 4)
    whole = [*words("the patient")["input_ids"], 2, *words("has a fever")["input_ids"], 2]
    assert words.eos_token_id == 2
    assert [token for row in rows for token in row] == whole[: len(whole) // 4 * 4]


@pytest.mark.slow
def test_each_sibling_learns_its_subject_and_moves_far_enough(made: Path) -> None:
    report = json.loads((made / "siblings.json").read_text())
    before = report["perplexity"]["instruct"]
    for subject in ("math", "medical"):
        assert report["perplexity"][subject][subject] < before[subject]
        assert report["pairs"][f"instruct-{subject}"]["share_off_fallback"] > 1 / 3
    assert report["pairs"]["math-medical"]["tensors_off_fallback"].endswith(" of 21")
    assert "siblings.py" in report["command"]


@pytest.mark.slow
def test_what_is_there_is_not_made_again(made: Path, data: Path) -> None:
    files = [made / name / "model.safetensors" for name in ("instruct", "math", "medical")]
    before = [file.stat().st_mtime_ns for file in files]
    source = json.loads((made / "instruct" / "sibling.json").read_text())["source"]
    same = ("--source", source, "--into", made, "--data", data)
    run("siblings.py", *same, *TRAINING, "--only", "math")
    assert [file.stat().st_mtime_ns for file in files] == before
    assert "other options" in run("siblings.py", *same, "--steps", "3", code=1)
    assert [file.stat().st_mtime_ns for file in files] == before


def test_training_is_repeatable_and_leaves_words_alone() -> None:
    import torch
    from tiny_models import model

    training = module("sibling_training")
    rows = [[(row * 7 + at * at) % 200 for at in range(16)] for row in range(8)]
    how = training.Training(steps=6, batch=2, length=16, rate=0.02, threads=1)
    progress: list[Any] = []
    nets = [model(seed=3) for _ in range(3)]
    start = {name: tensor.clone() for name, tensor in nets[2].state_dict().items()}
    for net in nets[:2]:
        training.train(net, rows, how, progress.append)
    first, second = (net.state_dict() for net in nets[:2])
    assert all(torch.equal(first[name], second[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], start[name])}
    assert changed == {name for name in first if ".layers." in name and first[name].ndim == 2}
    assert progress[5].loss < progress[0].loss
    assert progress[5].step == 6
    assert progress[5].moved == training.share_off_fallback(
        dict(nets[2].named_parameters()), nets[0]
    )


@pytest.mark.slow
def test_the_ends_of_the_curve_are_the_siblings(made: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ("--siblings", made, "--data", data, "--into", tmp_path)
    run("lambda_curve.py", *options, "--steps", "2", "--texts", "4")
    report = json.loads((tmp_path / "curve.json").read_text())
    judged = json.loads((made / "siblings.json").read_text())
    rows = [(row["t"], row["method"]) for row in report["rows"]]
    assert rows == [(0.0, "slerp"), (0.5, "slerp"), (0.5, "linear"), (1.0, "slerp")]
    assert report["rows"][0]["perplexity"] == judged["perplexity"]["math"]
    assert report["rows"][3]["perplexity"] == judged["perplexity"]["medical"]
    pair = judged["pairs"]["math-medical"]["share_off_fallback"]
    assert report["share_off_fallback"] == pytest.approx(pair)
    assert (tmp_path / "curve.svg").stat().st_size > 1000
    assert (tmp_path / "curve.png").stat().st_size > 1000


@pytest.mark.slow
def test_both_engines_agree_along_the_curve(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("mergekit")
    scratch, json_file = tmp_path / "merges", tmp_path / "engines.json"
    options = ("--siblings", made, "--scratch", scratch, "--json", json_file, "--steps", "2")
    run("lambda_engines.py", *options)
    rows = json.loads(json_file.read_text())["rows"]
    methods = {"slerp", "linear", "task_arithmetic"}
    assert sorted((row["t"], row["method"]) for row in rows) == sorted(
        (t, method) for t in (0.0, 0.5, 1.0) for method in methods
    )
    assert all(row["most_ulps"] <= 1 and row["live_apart"] == 0 for row in rows)
    ends = [row for row in rows if row["t"] != 0.5 and row["method"] != "task_arithmetic"]
    assert [row["input_apart"] for row in ends] == [{"stream": 0, "mergekit": 0}] * 4
