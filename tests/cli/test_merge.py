"""`merge` at the command line: recipes, presets, options, reports, cards and verification."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_hub
from paths import ROOT

pytest.importorskip("yaml", reason="needs the extra merge")

import yaml
from command_line import Outcome, digests, patientdx
from merge_inputs import CONFIG, make, make_pair
from tiny_checkpoints import near, random_tensors

import patientdx as package

SLERP = ("merge", "--method", "slerp", "--weight", "0.4", "math-model", "medical-model")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two models."""
    make_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object) -> Outcome:
    return patientdx(*args, env={"PATIENTDX_CACHE": "cache"})


def run_successfully(*args: object) -> Outcome:
    outcome = run(*args)
    assert outcome.code == 0, outcome.err
    return outcome


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    fields: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return fields


def test_two_models_are_merged_with_all_that_makes_a_folder_a_model(place: Path) -> None:
    outcome = run_successfully(*SLERP, "--into", "out")
    assert outcome.out == "out\n"
    assert "where SLERP is linear: 0 of 8 tensors (0.0%), 0.0% of the parameters" in outcome.err
    assert "hint: patientdx merge --verify out" in outcome.err
    names = {path.name for path in (place / "out").iterdir()}
    assert names == {
        *("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"),
        *("README.md", "mergekit_config.yml", "patientdx_merge.json"),
    }
    config = json.loads((place / "out/config.json").read_text(encoding="utf-8"))
    assert config == CONFIG
    assert sorted(path.name for path in place.iterdir() if path.name.startswith(".")) == []


def test_the_card_and_the_provenance_tell_how_it_was_made(place: Path) -> None:
    run_successfully(*SLERP, "--into", "out")
    front = front_matter(place / "out")
    assert front == {
        "base_model": ["math-model", "medical-model"],
        "tags": ["merge", "mergekit"],
        "library_name": "transformers",
        "license": "apache-2.0",
    }
    card = (place / "out/README.md").read_text(encoding="utf-8")
    for message in (
        *("no patient's data took part", "For research use; not a medical device."),
        "patientdx merge --method slerp --weight 0.4 math-model medical-model --into out",
        (place / "out/mergekit_config.yml").read_text(encoding="utf-8").strip(),
        "where SLERP is linear: 0 of 8 tensors",
    ):
        assert message in card
    record = json.loads((place / "out/patientdx_merge.json").read_text(encoding="utf-8"))
    assert record["software"] == f"patientdx {package.__version__}"
    assert [source["name"] for source in record["inputs"]] == ["math-model", "medical-model"]
    for source in record["inputs"]:
        assert len(source["digest"]) == 64
        assert source["digest"] in card
    recipe = yaml.safe_load(record["recipe"])
    assert (recipe["merge_method"], recipe["base_model"]) == ("slerp", "math-model")
    assert recipe["parameters"] == {"t": 0.4}


def test_the_command_of_the_card_makes_the_same_folder(place: Path) -> None:
    run_successfully(*SLERP, "--into", "out")
    before = digests(place / "out")
    (place / "out").rename(place / "first")
    run_successfully(*SLERP, "--into", "out")
    assert digests(place / "out") == before
    # So does the recipe that lies in it, but for the command in the card.
    run_successfully("merge", "first/mergekit_config.yml", "--into", "again")
    weights = "model.safetensors"
    assert digests(place / "again")[weights] == before[weights]


@pytest.mark.parametrize(
    ("licences", "expected", "message"),
    [
        (("apache-2.0", "apache-2.0"), "apache-2.0", ""),
        (("apache-2.0", "mit"), "other", "different free licences"),
        (("apache-2.0", "llama3"), "other", "conflict"),
        (("apache-2.0", None), None, "not every input tells its licence"),
        ((None, None), None, "no input tells its licence"),
    ],
)
def test_a_merge_inherits_licences_and_warns_where_they_conflict(
    licences: tuple[str, str],
    expected: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tensors = random_tensors(1)
    for name, licence in zip("ab", licences, strict=True):
        make(tmp_path / name, tensors, licence=licence)
    out = tmp_path / "out"
    merged = ("merge", "--method", "linear", "--weight", "0.5", tmp_path / "a", tmp_path / "b")
    outcome = run_successfully(*merged, "--into", out)
    assert message in outcome.err
    assert front_matter(out).get("license") == expected
    warned = "**Warning:**" in (out / "README.md").read_text(encoding="utf-8")
    assert warned == bool(message)
    assert message in (out / "README.md").read_text(encoding="utf-8")


def test_the_streaming_engine_imports_nothing_heavy(place: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import cli\n"
        f"sys.argv = ['patientdx', *{SLERP!r}, '--into', 'out']\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'transformers', 'mergekit', 'safetensors'} & set(sys.modules)))\n"
    )
    run_alone = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PATIENTDX_CACHE": "cache"},
    )
    assert run_alone.stdout == "out\n[]\n"


def test_ends_give_the_inputs_weights_back(place: Path) -> None:
    for weight, name in ((0, "math-model"), (1, "medical-model")):
        for method in ("slerp", "linear"):
            into = f"{method}{weight}"
            models = ("math-model", "medical-model")
            run_successfully(
                "merge", "--method", method, "--weight", weight, *models, "--into", into
            )
            weights = "model.safetensors"
            assert digests(place / into)[weights] == digests(place / name)[weights]


def test_check_reports_every_tensor_and_writes_nothing(place: Path) -> None:
    tensors = random_tensors(1)
    make(place / "twin", near(tensors, 3, by=0.001))
    before = digests(place)
    args = ("merge", "--method", "slerp", "--weight", "0.4", "math-model", "twin")
    report = run_successfully(*args, "--check").lines
    assert len([line for line in report if "linear  model." in line]) == 8
    assert "8 of 8 tensors (100.0%), 100.0% of the parameters" in report[-2]
    facts = run_successfully(*SLERP, "--check", "--json").json
    assert facts["engine"] == "stream"
    assert facts["summary"]["fallback_tensors"] == 0
    assert len(facts["tensors"]) == 8
    dry = run_successfully(*SLERP, "--dry-run", "--into", "out")
    assert dry.lines == ["these models can be merged: 0.00 GB by stream"]
    assert {
        name: digest for name, digest in digests(place).items() if "cache" not in name
    } == before


def test_verify_finds_what_was_changed(place: Path) -> None:
    run_successfully(*SLERP, "--into", "out")
    fine = run_successfully("merge", "--verify", "out")
    assert (fine.out, fine.err) == ("", "out: 7 files, every byte as merged\n")
    weights = place / "out/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (place / "out/config.json").write_text("{}", encoding="utf-8")
    (place / "out/extra.safetensors").write_bytes(b"")
    outcome = run("merge", "--verify", "out")
    assert outcome.code == 1
    assert outcome.lines == [
        f"out/{name}: not as it was merged"
        for name in ("config.json", "extra.safetensors", "model.safetensors")
    ]
    assert "not what the recipe gives: 3 files" in outcome.err
    assert run("merge", "--verify", "out", "--json").err.count("hint:") == 1
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_verify_needs_the_inputs_as_they_were(place: Path) -> None:
    run_successfully(*SLERP, "--into", "out")
    (place / "medical-model").rename(place / "moved")
    lost = run("merge", "--verify", "out")
    assert (lost.code, "medical-model is not at " in lost.err) == (1, True)
    assert "patientdx merge --verify OUT A B" in lost.err
    run_successfully("merge", "--verify", "out", "math-model", "moved")
    swapped = run("merge", "--verify", "out", "moved", "math-model")
    assert "is not the one that was merged" in swapped.err
    few = run("merge", "--verify", "out", "moved")
    assert few.code == 2
    for folder in ("math-model", "absent"):
        none = run("merge", "--verify", folder)
        assert none.code == 1
        assert "hint: name a folder that `patientdx merge` made" in none.err


def test_a_recipe_file_and_a_preset_with_models_given(place: Path) -> None:
    recipe = place / "recipe.yml"
    recipe.write_text(
        "# mine\nmodels: [{model: math-model}, {model: medical-model}]\nmerge_method: slerp\n"
        "base_model: math-model\nparameters: {t: [0, 1]}\n",
        encoding="utf-8",
    )
    outcome = run_successfully("merge", recipe, "--into", "out", "--quiet")
    assert (outcome.out, outcome.err) == ("out\n", "")
    kept = (place / "out/mergekit_config.yml").read_text(encoding="utf-8")
    assert kept == recipe.read_text(encoding="utf-8"), "read and written as it is"
    models = ("math-model", "medical-model")
    facts = run_successfully(
        "merge", "--preset", "patientdx-7b", *models, "--into", "dx", "--json"
    ).json
    assert (facts["folder"], facts["engine"]) == ("dx", "stream")
    assert front_matter(place / "dx")["base_model"] == list(models)
    run_successfully("merge", "--preset", "patientdx-7b", "--weight", "1", *models, "--into", "end")
    assert (
        digests(place / "end")["model.safetensors"]
        == digests(place / "medical-model")["model.safetensors"]
    )


def test_presets_are_listed_and_shown_and_name_the_published_merge() -> None:
    listed = run_successfully("merge", "--presets")
    assert len(listed.lines) == 12
    assert "Jgmorenof/mistral_merged_0_4" in listed.err
    assert {preset["name"] for preset in run_successfully("merge", "--presets", "--json").json} >= {
        "patientdx-8b"
    }
    shown = run_successfully("merge", "--preset", "patientdx-7b", "--show-recipe")
    assert yaml.safe_load(shown.out)["parameters"] == {"t": 0.4}
    assert "Jgmorenof/mistral_merged_0_4" in shown.out
    assert "Jgmorenof/mistral_merged_0_4" in run_successfully("merge", "--help").out
    other = run_successfully(
        "merge", "--preset", "patientdx-7b", "--weight", "0.7", "--show-recipe"
    )
    assert yaml.safe_load(other.out)["parameters"] == {"t": 0.7}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "a recipe, --preset or --method is needed"),
        (("a", "b", "--into", "o"), "a recipe, --preset or --method is needed"),
        (SLERP, "no folder named to merge into"),
        ((*SLERP, "--weight", "1.4", "--into", "o"), "between 0 and 1, not at 1.4"),
        ((*SLERP, "third", "--into", "o"), "merges two models, and 3 are named"),
        (("--method", "slerp", "a", "b"), "no --weight named"),
        (("--method", "ties", "--weight", "1", "a", "b"), "--method is one of linear, slerp"),
        (("--preset", "x"), "there is no preset `x`"),
        (("--preset", "patientdx-7b", "a"), "of 2 models, and 1 are named"),
        (("--preset", "patientdx-7b", "--method", "slerp"), "exclude each other"),
        (("r.yml", "--dtype", "float16"), "--dtype goes with --method"),
    ],
)
def test_wrong_usage_is_reported(args: tuple[str, ...], message: str, place: Path) -> None:
    outcome = run("merge", *(arg for arg in args if arg != "merge"))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert "hint: " in outcome.err
    assert not (place / "o").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--presets --weight 7", "--weight has no effect with --presets"),
        ("--presets --verify out", "--presets and --verify exclude each other"),
        ("--presets r.yml", "MODELS has no effect with --presets"),
        ("--presets --into out", "--into has no effect with --presets"),
        ("--verify out --check", "--verify and --check exclude each other"),
        ("--verify out --dry-run", "--verify and --dry-run exclude each other"),
        ("--verify out --into new", "--into has no effect with --verify"),
        ("--verify out --method slerp", "--method has no effect with --verify"),
        ("--verify out --allow-fetch", "--allow-fetch has no effect with --verify"),
        ("r.yml --show-recipe --into out", "--into has no effect with --show-recipe"),
        ("r.yml --show-recipe --json", "--json has no effect with --show-recipe"),
        ("r.yml --show-recipe --engine mergekit", "--engine has no effect with --show-recipe"),
        ("r.yml --check --dry-run", "--check and --dry-run exclude each other"),
        ("r.yml --check --shard-size 1", "--shard-size has no effect with --check"),
        ("r.yml --dry-run --shard-size 1", "--shard-size has no effect with --dry-run"),
        ("a b --method slerp --preset patientdx-7b", "--method and --preset exclude each other"),
        ("--preset patientdx-7b --dtype float16", "--dtype has no effect here"),
        ("r.yml --dtype float16 --into out", "--dtype has no effect here"),
        ("r.yml --hub http://localhost --into out", "--hub has no effect here"),
    ],
)
def test_options_without_effect_are_refused(args: str, message: str, place: Path) -> None:
    before = digests(place)
    outcome = run("merge", *args.split())
    assert (outcome.code, outcome.out) == (2, "")
    error, hint = (line for line in outcome.err.splitlines() if line)
    assert error == f"error: {message}"
    assert hint.startswith("hint: ")
    assert digests(place) == before


def test_models_of_a_hub_are_fetched_where_that_is_allowed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = place / "math-model"
    monkeypatch.setattr(small_hub, "MODEL_FILES", {
        path.name: path.read_bytes() for path in published.iterdir()
    })  # fmt: skip
    args = ("merge", "--method", "slerp", "--weight", "0.4", small_hub.MODEL, "medical-model")
    with small_hub.serving() as hub:
        assert "is not here yet" in run(*args, "--into", "out").err
        run_successfully(*args, "--into", "out", "--allow-fetch", "--hub", hub)
    run_successfully(*args, "--into", "again")  # it is here now
    front = front_matter(place / "out")
    assert front["base_model"] == [small_hub.MODEL, "medical-model"]
    assert front["license"] == "apache-2.0", "its card came along"
    record = json.loads((place / "out/patientdx_merge.json").read_text(encoding="utf-8"))
    source = record["inputs"][0]
    assert (source["repo"], source["revision"]) == (small_hub.MODEL, small_hub.COMMIT)
    assert run_successfully("merge", "--verify", "out").out == ""
