"""Model cards: repositories of a hub, never a commit or a place on a disk, valid for a hub."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="needs the extra merge")

import yaml
from command_line import Outcome, patientdx
from merge_inputs import CONFIG, make
from tiny_checkpoints import near, random_tensors

from merger.metadata.public_names import (
    is_repository,
    number_repeated_names,
    publish_command,
    publish_text,
    read_hub_source,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a cache of huggingface_hub, our own, and local models."""
    tensors = random_tensors(1)
    hub = tmp_path / "hub/models--owner--math"
    make(hub / "snapshots" / COMMIT, tensors, licence="mit")
    (hub / "refs").mkdir()
    for ref in ("main", "v1"):
        (hub / "refs" / ref).write_text(COMMIT, encoding="utf-8")
    make(tmp_path / "cache/models/lab--medical", near(tensors, 2), licence="apache-2.0")
    fetched = make(tmp_path / "cache/models/lab--fetched", near(tensors, 3))
    source = {"repo": "Lab/Fetched", "revision": COMMIT}
    (fetched / "SOURCE.json").write_text(json.dumps(source), encoding="utf-8")
    make(tmp_path / "models/local-model", near(tensors, 4))
    make(tmp_path / "my models/odd name+v2", near(tensors, 5))
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object) -> Outcome:
    outcome = patientdx(*args, env={"PATIENTDX_CACHE": "cache", "HF_HUB_CACHE": "hub"})
    assert outcome.code == 0, outcome.err
    return outcome


def merged(place: Path, first: object, second: object) -> tuple[dict[str, Any], str]:
    """Front matter and text of the card of a merge, which is also verified."""
    into = place / "results" / "out"
    models = ("--method", "slerp", "--weight", "0.4", first, second)
    run("merge", *models, "--into", into)
    card = (into / "README.md").read_text(encoding="utf-8")
    assert "every byte as merged" in run("merge", "--verify", into).err
    front: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return front, card


def check_public(place: Path, card: str) -> None:
    for word in (str(place), COMMIT, "snapshots", "/models/", "results/"):
        assert word not in card


CASES = {
    # The names on the command line, and the base models of the card.
    "names in the cache of huggingface_hub and ours": (
        *("owner/math", "lab/medical"),
        ["owner/math", "lab/medical"],
    ),
    "paths into caches": (
        f"hub/models--owner--math/snapshots/{COMMIT}",
        "cache/models/lab--medical",
        ["owner/math", "lab/medical"],
    ),
    "absolute paths": (
        f"{{place}}/hub/models--owner--math/snapshots/{COMMIT}",
        "{place}/cache/models/lab--fetched",
        ["owner/math", "Lab/Fetched"],
    ),
    "revisions": (f"owner/math@{COMMIT}", "lab/medical", ["owner/math", "lab/medical"]),
    "a tag": ("owner/math@v1", "models/local-model", ["owner/math", "local-model"]),
    "a name that is no repository": (
        *("owner/math", "{place}/my models/odd name+v2"),
        ["owner/math"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_card_has_repositories(case: str, place: Path) -> None:
    first, second, expected = CASES[case]
    front, card = merged(place, first.format(place=place), second.format(place=place))
    assert front["base_model"] == expected
    check_public(place, card)
    labels = [*expected, "odd name+v2"][:2]
    for label in labels:
        assert f"* {label}" in card
        assert label in card.partition("## Recipe")[2]
    assert "--into out" in card
    # The recipe and the provenance in the folder have the names as they were.
    assert first.format(place=place) in (place / "results/out/mergekit_config.yml").read_text()
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hf")
    data = hub.ModelCard(card).data
    assert data.base_model == expected
    for name in data.base_model:
        hub.utils.validate_repo_id(name)
    assert data.library_name == "transformers"


def test_a_tag_is_kept_in_the_text(place: Path) -> None:
    _, card = merged(place, "owner/math@v1", "models/local-model")
    assert "* owner/math@v1 (sha256" in card
    assert "model: owner/math@v1" in card


def test_remarks_and_recipes_have_public_names(place: Path) -> None:
    config = CONFIG | {"rms_norm_eps": 1e-5}
    (place / "models/local-model/config.json").write_text(json.dumps(config), encoding="utf-8")
    snapshot = place / "hub/models--owner--math/snapshots" / COMMIT
    local = place / "models/local-model"
    (place / "recipes").mkdir()
    (place / "recipes/r.yml").write_text(
        f"# the models\nmodels:\n- model: {snapshot}\n- model: {local}\n"
        f"merge_method: slerp\nbase_model: {snapshot}\nparameters: {{t: 0.4}}\n",
        encoding="utf-8",
    )
    run("merge", place / "recipes/r.yml", "--into", place / "results/out")
    card = (place / "results/out/README.md").read_text(encoding="utf-8")
    check_public(place, card)
    assert "- model: owner/math\n- model: local-model\n" in card
    assert "base `owner/math`" in card
    assert "patientdx merge r.yml --into out\n" in card
    assert "(owner/math: mit; local-model: not told)" in card
    assert "every byte as merged" in run("merge", "--verify", place / "results/out").err


def test_folders_of_the_same_name_stay_apart_on_the_card(place: Path) -> None:
    tensors = random_tensors(1)
    for n, run_name in enumerate(("math-run", "medical-run")):
        make(place / "models" / run_name / "checkpoint", near(tensors, n))
    paths = [place / "models" / run_name / "checkpoint" for run_name in ("math-run", "medical-run")]
    front, card = merged(place, *paths)
    assert front["base_model"] == ["checkpoint"]
    assert "  * checkpoint (sha256" in card
    assert "  * checkpoint (2) (sha256" in card
    recipe = yaml.safe_load(card.partition("```yaml\n")[2].partition("```")[0])
    models = [entry["model"] for entry in recipe["models"]]
    assert models == ["checkpoint", "checkpoint (2)"]
    assert recipe["base_model"] == "checkpoint"
    check_public(place, card)


def test_only_repeated_names_get_numbers() -> None:
    assert number_repeated_names(["a", "b", "a+c"]) == ["a", "b", "a+c"]
    assert number_repeated_names(["a", "a (2)", "a", "a"]) == ["a", "a (2)", "a (3)", "a (4)"]


def test_keys_of_a_record_stay_apart_for_folders_of_the_same_name() -> None:
    labels = {"/x/run/end": "end", "/y/run/end": "end (2)"}
    text = publish_text(json.dumps({"/x/run/end": 0.3, "/y/run/end": 0.2}), labels)
    assert json.loads(text) == {"end": 0.3, "end (2)": 0.2}


def test_provenance_has_where_a_snapshot_came_from(place: Path) -> None:
    merged(place, "owner/math", "lab/medical")
    text = (place / "results/out/patientdx_merge.json").read_text(encoding="utf-8")
    first, second = json.loads(text)["inputs"]
    assert (first["repo"], first["revision"], first["label"]) == (
        "owner/math",
        COMMIT,
        "owner/math",
    )
    assert (second["repo"], second["label"]) == (None, "lab/medical")
    assert read_hub_source(place) == (None, None)


@pytest.mark.parametrize(
    "name",
    [
        *("gpt2", "owner/name", "a.b/c_d-e", "Owner/x" * 13, "a", "", "/x", "x/", "a/b/c"),
        *("a--b", "a..b", "-a/b", "a/b-", "a/.b", "a b", "a/b.git", "ü/x", "x" * 96, "x" * 97),
    ],
)
def test_names_of_repositories_are_those_of_huggingface_hub(name: str) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hf")
    try:
        hub.utils.validate_repo_id(name)
    except hub.utils.HFValidationError:
        assert not is_repository(name)
    else:
        assert is_repository(name)


def test_names_are_replaced_as_whole_words_only() -> None:
    labels = {
        "/d/a": "a",
        "/d/a/b": "o/b",
        "x": "never",
        "o/m@v1": "o/m@v1",
        f"o/m@{COMMIT}": "o/m",
    }
    text = f"/d/a /d/a/b /d/ab /d/a/bc x o/m@{COMMIT} (/d/a) `/d/a`: /d/a,"
    assert publish_text(text, labels) == "a o/b /d/ab /d/a/bc x o/m (a) `a`: a,"
    assert publish_text("/c/models--o--m-v.1/snapshots/0123abc/ x", {}) == "o/m-v.1 x"
    command = "patientdx merge '/d/a' y/r.yml --weight 0.4 --into /out/x"
    assert publish_command(command, labels) == "patientdx merge a r.yml --weight 0.4 --into x"
