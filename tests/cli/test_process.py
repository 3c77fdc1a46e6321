"""`demo` and `doctor`, and the program as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import NOWHERE, digests, patientdx, rows, run_successfully, sample
from paths import ROOT
from typer.testing import CliRunner

import cli
from indexer.index import Index

IDS = [row["_id"] for row in sample("corpus.jsonl")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = rows({"_id": "a-1", "text": "gout"}, {"_id": "b-1", "text": "gout and fever"})
    run_successfully("index", "build", "-", "--into", tmp_path / "index", stdin=source)
    return tmp_path / "index"


def test_demo_indexes_the_sample_in_the_cache_and_searches_it(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"PATIENTDX_CACHE": str(tmp_path)}
    first = patientdx("demo", env=env)
    assert first.code == 0
    assert "249 invented patients" in first.out
    assert "1. demo-011" in first.out
    assert "years, M" in first.out.partition("Of these, women")[0]
    assert "years, M" not in first.out.partition("Of these, women")[2]
    assert "not a medical device" in first.err
    assert f"hint: patientdx similar demo-001 --index {tmp_path / 'demo'}" in first.err
    before = digests(tmp_path)
    assert patientdx("demo", env=env).out == first.out
    assert digests(tmp_path) == before
    assert run_successfully("index", "info", "--ids", "--index", tmp_path / "demo").lines == IDS


def test_quiet_demo_prints_ids_only(tmp_path: Path) -> None:
    outcome = patientdx("demo", "-q", env={"PATIENTDX_CACHE": str(tmp_path)})
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.lines
    assert set(outcome.lines) <= set(IDS)


def test_demo_mends_a_damaged_index_of_its_own(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"PATIENTDX_CACHE": str(tmp_path)}
    first = patientdx("demo", env=env)
    (tmp_path / "demo" / "manifest.json").write_text("{}")
    assert patientdx("demo", env=env).out == first.out


def test_doctor_reports_the_machine_and_of_every_extra(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"PATIENTDX_CACHE": str(tmp_path)}
    as_json = patientdx("doctor", "--json", env=env)
    assert (as_json.code, as_json.err) == (0, "")
    assert as_json.json["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    text = patientdx("doctor", env=env)
    assert text.code == 0
    for extra in as_json.json["extras"]:
        assert extra["extra"] in text.out
        for package in extra["packages"]:
            assert f"{package['name']} {package['version'] or '(missing)'}" in text.out
        assert extra["installed"] or f"'.[{extra['extra']}]'" in text.out


@pytest.mark.parametrize("start", [("-m", "patientdx"), ("cli.py",)])
def test_a_process_of_its_own_returns_its_exit_code(start: tuple[str, ...], folder: Path) -> None:
    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *start, *map(str, args)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    outcome = run("search", "gout", "--quiet", "--index", folder)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert sorted(outcome.stdout.split()) == ["a-1", "b-1"]
    missing = run("search", "gout", "--index", folder / "nothing")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("error: no index in ")
    assert run("search", "--nonsense").returncode == 2


def test_a_terminal_without_a_character_shows_an_escape(folder: Path) -> None:
    run_successfully(
        "index", "add", "-", "--index", folder, stdin=rows({"_id": "\u65e5", "text": "scurvy"})
    )
    outcome = subprocess.run(
        [sys.executable, "cli.py", "search", "scurvy", "--index", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith(b"  1. \\u65e5 ")


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "cli.py", "search", "gout", "--json", "--index", str(folder)]
    read, write = os.pipe()
    os.close(read)
    try:
        outcome = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert outcome.returncode == 1
    assert outcome.stderr == b""


def test_an_interrupt_exits_with_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Index, "search_many", interrupted)
    result = CliRunner().invoke(cli.app, ["search", "fever", "--index", str(folder)], env=NOWHERE)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
