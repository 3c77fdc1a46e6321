"""`data get` from a hub of our own, and what is done with what it brought."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import digests, patientdx, run_successfully, sample
from small_hub import COMMIT, CORPUS, FILES, REPO, serving


@pytest.fixture
def hub() -> Iterator[str]:
    with serving() as address:
        yield address


def test_nothing_is_fetched_that_is_not_allowed(hub: str, tmp_path: Path) -> None:
    outcome = patientdx("data", "get", "recds", "--into", tmp_path / "ReCDS", "--hub", hub)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: ")
    assert "--allow-fetch" in outcome.err.partition("hint: ")[2]
    assert list(tmp_path.iterdir()) == []


def test_unknown_data_are_reported(tmp_path: Path) -> None:
    outcome = patientdx("data", "get", "nothing", "--into", tmp_path / "x", "--allow-fetch")
    assert outcome.code == 1
    assert "nothing" in outcome.err
    assert "pmc-patients" in outcome.err
    assert "recds" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_fetched_data_can_be_indexed_and_measured(hub: str, tmp_path: Path) -> None:
    folder, index = tmp_path / "ReCDS", tmp_path / "index"
    command = ("data", "get", "recds", "--into", folder, "--allow-fetch", "--hub", hub)
    outcome = run_successfully(*command)
    assert outcome.out == ""
    assert f"7 files of {REPO}@{COMMIT[:12]} in {folder} (7 fetched now)" in outcome.err
    assert "licence CC BY-NC-SA 4.0" in outcome.err
    assert f"hint: patientdx index build {folder} --into my-index" in outcome.err
    for name, data in FILES.items():
        assert (folder / name).read_bytes() == data
    run_successfully("index", "build", folder, "--into", index)
    table = run_successfully(
        "evaluate-ir", "--index", index, "--data", folder, "--split", "dev", "--json"
    ).json
    assert table["rows"][0]["n"] == len(sample("queries.jsonl"))
    assert table["rows"][0]["figures"]["nDCG@10"]["value"] > 0.5
    before = digests(folder)
    assert "(0 fetched now)" in run_successfully(*command).err
    assert digests(folder) == before


def test_variables_may_allow_and_name_the_hub(hub: str, tmp_path: Path) -> None:
    env: dict[str, str | None] = {"PATIENTDX_HUB": hub, "PATIENTDX_ALLOW_FETCH": "1"}
    outcome = patientdx("data", "get", "recds", "--into", tmp_path / "ReCDS", "--quiet", env=env)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / "ReCDS" / "PPR" / "corpus.jsonl").read_bytes() == CORPUS
