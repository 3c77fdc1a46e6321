"""Models found by name in the cache of huggingface_hub, with its own layout and names."""

import json
from pathlib import Path

import pytest
from command_line import patientdx

from patientdx.errors import ModelError
from patientdx.fetching.hub_cache import find_snapshot, hub_cache_folder, snapshot_source
from patientdx.fetching.model_cache import fetch_model, locate_model, model_folder

OLD, NEW = "0" * 39 + "1", "a" * 40
FILES = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "{}"}


def add_snapshot(
    cache: Path, name: str, commit: str, files: dict[str, str], refs: tuple[str, ...] = ()
) -> Path:
    """A snapshot as huggingface_hub makes it: links to blobs, and references to the commit."""
    repository = cache / ("models--" + name.replace("/", "--"))
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    for number, (file, text) in enumerate(files.items()):
        blob = repository / "blobs" / f"{commit}-{number}"
        blob.write_text(text, encoding="utf-8")
        (snapshot / file).symlink_to(Path("../../blobs") / blob.name)
    for ref in refs:
        path = repository / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit, encoding="utf-8")
    return snapshot


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with two commits of one model."""
    cache = tmp_path / "hub"
    add_snapshot(cache, "owner/tiny-model", OLD, FILES, ("v1", "refs/pr/1"))
    add_snapshot(cache, "owner/tiny-model", NEW, FILES, ("main",))
    add_snapshot(cache, "gpt2", OLD, FILES, ("main",))
    return cache


def test_names_stand_for_the_snapshots_that_huggingface_hub_finds(cache: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hf")
    for spec, revision in (
        ("owner/tiny-model", None),
        ("owner/tiny-model@main", "main"),
        ("owner/tiny-model@v1", "v1"),
        ("owner/tiny-model@refs/pr/1", "refs/pr/1"),
        (f"owner/tiny-model@{OLD}", OLD),
        (f"owner/tiny-model@{NEW}", NEW),
        ("gpt2", None),
    ):
        name = spec.partition("@")[0]
        theirs = hub.try_to_load_from_cache(name, "config.json", cache, revision)
        assert find_snapshot(spec, cache) == Path(theirs).parent
        assert locate_model(spec, None, cache) == Path(theirs).parent


@pytest.mark.parametrize(
    "spec", ["owner/other", "other", "../hub", "owner/../gpt2", "a/b/c", "", "owner/tiny-model/"]
)
def test_other_names_stand_for_nothing(spec: str, cache: Path) -> None:
    assert find_snapshot(spec, cache) is None
    assert find_snapshot(spec, cache / "absent") is None


def test_a_revision_that_is_missing_is_reported_with_those_that_are_here(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_snapshot("owner/tiny-model@v2", cache)
    assert "without the revision `v2`" in caught.value.message
    assert "there is: main, refs/pr/1, v1" in caught.value.message
    assert "owner/tiny-model@main" in str(caught.value.hint)
    for revision in ("../refs/main", "v2/..", ".."):
        with pytest.raises(ModelError, match="without the revision"):
            find_snapshot(f"owner/tiny-model@{revision}", cache)


def test_a_repository_without_main_names_its_commits(tmp_path: Path) -> None:
    add_snapshot(tmp_path, "o/m", OLD, FILES)
    with pytest.raises(ModelError, match=f"without the revision `main`; in .* there is: {OLD}"):
        find_snapshot("o/m", tmp_path)
    assert find_snapshot(f"o/m@{OLD}", tmp_path)


INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
INCOMPLETE = {
    "there is no config.json": {"model.safetensors": ""},
    "there is no file of weights": {"config.json": "{}"},
    "model-2.safetensors is missing, one of 2 files of weights": {
        "config.json": "{}",
        "model.safetensors.index.json": INDEX,
        "model-1.safetensors": "",
    },
    "model.safetensors.index.json cannot be read": {
        "config.json": "{}",
        "model.safetensors.index.json": "{",
        "model-1.safetensors": "",
    },
}


@pytest.mark.parametrize("message", INCOMPLETE)
def test_a_snapshot_that_lacks_files_is_reported_with_what_it_lacks(
    message: str, tmp_path: Path
) -> None:
    add_snapshot(tmp_path, "o/m", OLD, INCOMPLETE[message], ("main",))
    with pytest.raises(ModelError) as caught:
        locate_model("o/m", None, tmp_path)
    assert caught.value.message == f"`o/m` is not whole in {tmp_path}: {message}"
    assert "patientdx model get o/m --allow-fetch" in str(caught.value.hint)


def test_a_link_without_its_file_is_reported(cache: Path) -> None:
    (cache / "models--owner--tiny-model/blobs" / f"{NEW}-1").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is a link to a file that is not"):
        find_snapshot("owner/tiny-model", cache)
    assert find_snapshot("owner/tiny-model@v1", cache)


def test_whole_snapshots_of_other_kinds(tmp_path: Path) -> None:
    adapter = {"adapter_config.json": "{}", "adapter_model.safetensors": ""}
    sharded = {**FILES, "model.safetensors.index.json": INDEX}  # beside a newer single file
    for number, files in enumerate((adapter, sharded, {"m.gguf": ""})):
        add_snapshot(tmp_path, f"o/m{number}", OLD, files, ("main",))
        assert find_snapshot(f"o/m{number}", tmp_path)


def test_what_was_fetched_by_us_comes_first(cache: Path, tmp_path: Path) -> None:
    ours = model_folder(tmp_path / "cache") / "owner--tiny-model"
    ours.mkdir(parents=True)
    (ours / "SOURCE.json").write_text(json.dumps({"revision": NEW}), encoding="utf-8")
    for spec in ("owner/tiny-model", "owner/tiny-model@v1", f"owner/tiny-model@{NEW[:8]}"):
        assert locate_model(spec, tmp_path / "cache", cache) == ours
    # It is another commit than the one that is named.
    theirs = cache / "models--owner--tiny-model/snapshots" / OLD
    assert locate_model(f"owner/tiny-model@{OLD}", tmp_path / "cache", cache) == theirs
    with pytest.raises(ModelError, match="is not here yet"):
        locate_model(f"owner/tiny-model@{OLD}", tmp_path / "cache", None)


def test_what_is_whole_is_not_fetched(cache: Path, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    snapshot = cache / "models--owner--tiny-model/snapshots" / NEW
    options = {"hub": nowhere, "allowed": True, "hub_cache": cache}
    assert fetch_model("owner/tiny-model", tmp_path / "cache", **options) == snapshot  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "/home/me/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"}, "/old"),
        ({"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"}, "/new"),
        ({"HF_HUB_CACHE": "$DISK/hub", "DISK": "/d"}, "/d/hub"),
        ({"HF_HUB_CACHE": "${DISK}/hub", "DISK": "/d"}, "/d/hub"),
        ({"HF_HUB_CACHE": ""}, "/home/me/.cache/huggingface/hub"),
    ],
)
def test_the_folder_is_that_of_huggingface_hub(environ: dict[str, str], folder: str) -> None:
    assert hub_cache_folder(environ, Path("/home/me")) == Path(folder)


def test_a_snapshot_knows_its_repository(cache: Path, tmp_path: Path) -> None:
    snapshot = cache / "models--owner--tiny-model/snapshots" / NEW
    (tmp_path / "link").symlink_to(snapshot)
    assert snapshot_source(snapshot) == ("owner/tiny-model", NEW)
    assert snapshot_source(tmp_path / "link") == ("owner/tiny-model", NEW)
    assert snapshot_source(cache / "models--gpt2/snapshots" / OLD) == ("gpt2", OLD)
    assert snapshot_source(tmp_path / "snapshots" / OLD) is None


def test_the_command_finds_models_by_the_variables(cache: Path, tmp_path: Path) -> None:
    snapshot = cache / "models--owner--tiny-model/snapshots" / NEW
    (tmp_path / "home").mkdir()
    (tmp_path / "home/hub").symlink_to(cache)
    for variable, value in (("HF_HUB_CACHE", cache), ("HF_HOME", tmp_path / "home")):
        env: dict[str, str | None] = {"HF_HUB_CACHE": None, "HUGGINGFACE_HUB_CACHE": None}
        env |= {variable: str(value), "PATIENTDX_CACHE": str(tmp_path / "cache")}
        outcome = patientdx("model", "path", "owner/tiny-model", env=env)
        assert outcome.code == 0, outcome.err
        assert Path(outcome.out.strip()).resolve() == snapshot.resolve()
        outcome = patientdx("model", "path", "owner/tiny-model@v9", env=env)
        assert outcome.code == 1
        assert "there is: main" in outcome.err
