"""Methods that draw at random: the same bytes from a seed, in any process, with any threads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")

from command_line import Outcome, patientdx
from paths import ROOT
from safetensors.torch import save_file
from small_merges import save_pair, tensors
from tiny_merges import digest

from merger.engines.seeded_methods import tensor_seed, torch_threads
from merger.recipes.mergekit_methods import MERGEKIT_METHODS, random_method_names
from merger.recipes.reader import parse_recipe
from patientdx.errors import InputError

RANDOM = ("dare_ties", "dare_linear", "della", "della_linear")
WEIGHTS = "model.safetensors"
TRAITS = {"intermediate_size": 640, "hidden_size": 64}
"""A model with tensors of more than 32,768 numbers, which torch adds up in parts."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models `a` and `b`."""
    place = tmp_path_factory.mktemp("models")
    save_pair(place, **TRAITS)
    return place


@pytest.fixture
def place(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the models and a recipe of each random method."""
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(models / name)
    for method in RANDOM:
        (tmp_path / f"{method}.yml").write_text(recipe_of(method), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe_of(method: str, more: str = "") -> str:
    epsilon = ", epsilon: 0.1" if method.startswith("della") else ""
    return (
        "models:\n- model: a\n- model: b\n"
        f"  parameters: {{weight: 0.5, density: 0.5{epsilon}}}\n"
        f"merge_method: {method}\nbase_model: a\ndtype: bfloat16\n{more}"
    )


def run(*args: object) -> Outcome:
    outcome = patientdx(*args, env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 0, outcome.err
    return outcome


def in_another_process(*args: object, threads: int) -> None:
    """A command with another hash seed and number of threads, without the load check."""
    subprocess.run(
        [sys.executable, ROOT / "cli.py", *map(str, args), "--no-load-check"],
        env={
            **os.environ,
            "PATIENTDX_CACHE": "cache",
            "PYTHONHASHSEED": str(threads),
            "OMP_NUM_THREADS": str(threads),
        },
        check=True,
        capture_output=True,
    )


def record_of(folder: Path) -> Any:
    return json.loads((folder / "patientdx_merge.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", RANDOM)
def test_a_second_run_and_verify_give_the_same_bytes(method: str, place: Path) -> None:
    import torch

    run("merge", f"{method}.yml", "--into", "first")
    torch.manual_seed(99)
    torch.rand(3)
    state = torch.get_rng_state()
    run("merge", f"{method}.yml", "--into", "second")
    assert torch.equal(torch.get_rng_state(), state), "the merge leaves torch's generator alone"
    weights = digest(place / "first")[WEIGHTS]
    assert digest(place / "second")[WEIGHTS] == weights
    assert "every byte as merged" in run("merge", "--verify", "first").err
    with torch_threads(3):
        assert "every byte as merged" in run("merge", "--verify", "first").err
    assert record_of(place / "first")["seed"] == 0
    assert "* Random seed: 0\n" in (place / "first/README.md").read_text(encoding="utf-8")


def test_another_process_gives_the_same_bytes(place: Path) -> None:
    run("merge", "della.yml", "--into", "first")
    in_another_process("merge", "--verify", "first", threads=3)
    in_another_process("merge", "della.yml", "--into", "second", threads=4)
    assert digest(place / "first")[WEIGHTS] == digest(place / "second")[WEIGHTS]


@pytest.mark.parametrize("method", RANDOM)
def test_a_merge_is_a_draw_of_mergekit_s_method(method: str, place: Path) -> None:
    """The numbers kept are those of density 0.5; a tensor has the same ones in other models."""
    run("merge", f"{method}.yml", "--into", "out", "--seed", 3)
    out, a, b = (tensors(place / name) for name in ("out", "a", "b"))
    name = "model.layers.0.mlp.up_proj.weight"
    differ = a[name] != b[name]
    changed = (out[name] != a[name]) & differ
    assert abs(float(changed.sum() / differ.sum()) - 0.5) < 0.02
    import torch
    from mergekit.merge_methods import merge_state_dicts

    torch.manual_seed(tensor_seed(3, name))
    values = {"weight": 0.5, "density": 0.5}
    values |= {"epsilon": 0.1} if method.startswith("della") else {}
    pair = [{name: model[name]} for model in (a, b)]
    theirs = merge_state_dicts(pair, method, parameters=values, base=0)[name]
    assert torch.equal(theirs, out[name])


def test_other_seeds_give_other_merges(place: Path) -> None:
    run("merge", "dare_ties.yml", "--into", "zero")
    run("merge", "dare_ties.yml", "--into", "seven", "--seed", 7)
    assert digest(place / "zero")[WEIGHTS] != digest(place / "seven")[WEIGHTS]
    record = record_of(place / "seven")
    assert record["seed"] == 7
    assert record["command"].endswith("--seed 7 dare_ties.yml --into seven")
    run("merge", "--verify", "seven")
    # The recipe in the folder repeats the merge, and a seed in a recipe is that of the option.
    run("merge", "seven/mergekit_config.yml", "--into", "again")
    (place / "own.yml").write_text(recipe_of("dare_ties", "random_seed: 7\n"), encoding="utf-8")
    run("merge", "own.yml", "--into", "own")
    run("merge", "own.yml", "--into", "other", "--seed", 0)
    weights = {name: digest(place / name)[WEIGHTS] for name in ("zero", "seven", "again", "own")}
    assert weights["seven"] == weights["again"] == weights["own"]
    assert digest(place / "other")[WEIGHTS] == weights["zero"]


def test_a_tensor_s_draws_do_not_depend_on_other_tensors(place: Path) -> None:
    run("merge", "dare_ties.yml", "--into", "whole")
    text = recipe_of("dare_ties").replace(
        "weight: 0.5", "weight: [{filter: mlp, value: 0}, {value: 0.5}]"
    )
    (place / "part.yml").write_text(text, encoding="utf-8")
    run("merge", "part.yml", "--into", "part")
    whole, part = tensors(place / "whole"), tensors(place / "part")
    same = {name for name in whole if whole[name].equal(part[name])}
    assert {name for name in whole if "mlp" not in name} <= same
    assert not {name for name in whole if "up_proj" in name} & same


def test_a_merge_of_before_seeds_were_recorded(place: Path) -> None:
    (place / "own.yml").write_text(recipe_of("dare_ties", "random_seed: 5\n"), encoding="utf-8")
    run("merge", "own.yml", "--into", "out")
    record = record_of(place / "out")
    del record["seed"], record["torch_threads"]
    record["recipe"] = recipe_of("dare_ties")
    forget_seed(place / "out", record)
    outcome = run("merge", "--verify", "out")
    assert "this merge's seed is unknown" in outcome.err
    assert "1 file of weights could not be compared" in outcome.err
    facts = run("merge", "--verify", "out", "--json").json
    assert facts["unknown"] == [WEIGHTS]
    assert WEIGHTS not in facts["same"]
    other = {name: tensor.float() for name, tensor in tensors(place / "out").items()}
    save_file(other, place / "out" / WEIGHTS, metadata={"format": "pt"})
    outcome = patientdx("merge", "--verify", "out", env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 1
    assert f"out/{WEIGHTS}: not as it was merged" in outcome.out


def forget_seed(folder: Path, record: dict[str, Any]) -> None:
    """Makes a folder what an earlier version would have written."""
    (folder / "patientdx_merge.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (folder / "mergekit_config.yml").write_text(record["recipe"], "utf-8")
    card = (folder / "README.md").read_text("utf-8").replace("* Random seed: 5\n", "")
    card = card.replace("random_seed: 5\n", "")
    (folder / "README.md").write_text(card, "utf-8")


def test_a_seed_without_effect_is_refused(place: Path) -> None:
    slerp = ("merge", "--method", "slerp", "--weight", "0.4", "a", "b", "--into", "out")
    outcome = patientdx(*slerp, "--seed", 1)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--seed has no effect: slerp draws nothing at random" in outcome.err
    for text, message in (
        (
            "merge_method: ties\nmodels: [{model: A}]\nrandom_seed: 1",
            "recipe:3: `random_seed` has no",
        ),
        (
            "merge_method: dare_ties\nmodels: [{model: A}]\nrandom_seed: -1",
            "recipe:3: .*whole number",
        ),
        ("merge_method: dare_ties\nmodels: [{model: A}]\nrandom_seed: 1.5", "whole number"),
        ("merge_method: dare_ties\nmodels: [{model: A}]\nrandom_seed: 4294967296", "whole number"),
    ):
        with pytest.raises(InputError, match=message):
            parse_recipe(text)
    for seed in (-1, 2**32):
        assert patientdx("merge", "della.yml", "--into", "out", "--seed", seed).code == 2
    assert not (place / "out").exists()


@pytest.mark.parametrize("method", MERGEKIT_METHODS)
def test_the_methods_that_depend_on_torch_s_generator_are_known(method: str) -> None:
    """MergeKit's method over a tensor, from two states of the generator."""
    import torch
    from mergekit import merge_methods

    made = torch.Generator().manual_seed(1)
    rows = 1010 if method == "arcee_fusion" else 10  # that samples from a million numbers on
    models = [{"w": torch.randn(rows, 1000, generator=made)} for _ in range(3)]
    spec = merge_methods.get(method).spec
    values: dict[str, Any] = {
        parameter.name: 0.4 for parameter in spec.parameters if parameter.required
    }
    values |= {p.name: 0.5 for p in spec.parameters if p.name in {"density", "select_topk"}}
    base = None if spec.contract.base.value == "ignored" else 0
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        inputs = models[: spec.contract.max_inputs or 3]
        merged = merge_methods.merge_state_dicts(inputs, method, parameters=values, base=base)
        outputs.append(merged["w"])
    assert torch.equal(*outputs) == (method not in random_method_names())
