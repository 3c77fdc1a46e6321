"""Indexes that are missing, damaged or too new: told in a sentence, and left as they are."""

import random
import shutil
from pathlib import Path

import pytest
from command_line import (
    CHANGING,
    NEW,
    READING,
    SECRET,
    check_refusal,
    digests,
    make_two_segments,
    run_on,
)

from indexer.storage.manifest import VERSION


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_two_segments(tmp_path_factory.mktemp("original") / "index")


@pytest.fixture
def index(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "index")
    return tmp_path / "index"


ANY_COMMAND = READING | {name: CHANGING[name] for name in ("add", "update", "delete", "compact")}


@pytest.mark.parametrize("command", list(ANY_COMMAND))
@pytest.mark.parametrize("place", ["nothing", "empty", "file"])
def test_where_there_is_no_index_that_is_reported(command: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(NEW)
    before = digests(tmp_path)
    outcome = run_on(tmp_path / place, ANY_COMMAND[command])
    check_refusal(outcome, f"no index in `{tmp_path / place}`")
    assert digests(tmp_path) == before


@pytest.mark.parametrize("command", list(ANY_COMMAND))
def test_a_newer_index_is_left_alone(command: str, index: Path) -> None:
    manifest = index / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(f'"version": {VERSION}', '"version": 99'), encoding="utf-8")
    before = digests(index)
    outcome = run_on(index, ANY_COMMAND[command])
    check_refusal(outcome, f"{manifest}: the index has format version 99")
    assert "update PatientDx" in outcome.err
    assert digests(index) == before


@pytest.mark.parametrize("command", list(ANY_COMMAND))
@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"\0" * 99, b"[" * 100_000, b'{"format": 1, "version": 9}']
)
def test_a_damaged_manifest_is_named(command: str, content: bytes, index: Path) -> None:
    (index / "manifest.json").write_bytes(content)
    before = digests(index)
    outcome = run_on(index, ANY_COMMAND[command])
    check_refusal(outcome, f"{index / 'manifest.json'}: the manifest is damaged")
    assert digests(index) == before


def test_every_changed_byte_of_a_manifest_is_seen(index: Path) -> None:
    manifest = index / "manifest.json"
    whole = manifest.read_bytes()
    rnd = random.Random(0)
    for at in rnd.sample(range(len(whole)), 100):
        manifest.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << rnd.randrange(8)]) + whole[at + 1 :]
        )
        outcome = run_on(index, READING["info"])
        check_refusal(outcome, str(manifest))


@pytest.mark.parametrize("command", list(ANY_COMMAND))
@pytest.mark.parametrize("harm", ["missing", "cut", "longer", "empty"])
@pytest.mark.parametrize("kind", ["segment", "deletions"])
def test_a_file_that_is_missing_or_cut_is_named(
    command: str, harm: str, kind: str, index: Path
) -> None:
    file = min(index.glob(f"{kind}-*.pdx"))
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-1], "longer": data + b"\0"}.get(harm, b""))
    if harm == "missing":
        file.unlink()
    before = digests(index)
    outcome = run_on(index, ANY_COMMAND[command])
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert str(file) in outcome.out + outcome.err
    assert "\n\nhint: " in outcome.err
    assert SECRET not in outcome.err
    assert digests(index) == before


@pytest.mark.parametrize("seed", range(40))
def test_changed_bytes_give_an_answer_or_a_sentence(seed: int, index: Path) -> None:
    rnd = random.Random(seed)
    file = rnd.choice(sorted(index.glob("*.pdx")))
    data = bytearray(file.read_bytes())
    at, width = rnd.randrange(len(data)), rnd.choice([1, 4, 64])
    data[at : at + width] = rnd.randbytes(len(data[at : at + width]))
    if bytes(data) == file.read_bytes():
        data[at] ^= 1
    file.write_bytes(data)
    verified = run_on(index, READING["verify"])
    assert verified.code == 1
    assert str(file) in verified.out
    for name, command in ANY_COMMAND.items():
        outcome = run_on(index, command)
        assert outcome.code in {0, 1}, name
        assert SECRET not in outcome.err
        if outcome.code:
            assert outcome.err.startswith("error: ")
