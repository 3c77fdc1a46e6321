"""Indexes that are damaged, too new, busy, or on a full disk: told in a sentence, kept as is."""

import errno
import fcntl
import os
import random
import re
import shutil
from pathlib import Path

import pytest
from command_line import Outcome, digests, done, patientdx, rows


SECRET = "Zaphodine"
NEW = rows({"_id": "n-1", "text": f"{SECRET} fever"})
OLD = [{"_id": f"o-{i}", "text": f"{SECRET} gout {'of the toe ' * i}"} for i in range(40)]

READING = {
    "search": ("search", "gout of the toe", "--index", "{index}"),
    "filtered": ("search", "gout", "--index", "{index}", "--sex", "F", "--age", "60-"),
    "json": ("search", "gout", "--index", "{index}", "--json"),
    "similar": ("similar", "o-1", "--index", "{index}"),
    "info": ("index", "info", "--index", "{index}"),
    "ids": ("index", "info", "--ids", "--index", "{index}"),
    "verify": ("index", "verify", "--index", "{index}"),
}
CHANGING = {
    "add": ("index", "add", "-", "--index", "{index}"),
    "update": ("index", "add", "-", "--update", "--index", "{index}"),
    "delete": ("index", "delete", "o-2", "--index", "{index}"),
    "compact": ("index", "compact", "--index", "{index}"),
    "replace": ("index", "build", "-", "--replace", "--into", "{index}"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with a segment that has deletions, and another."""
    folder = tmp_path_factory.mktemp("original") / "index"
    done("index", "build", "-", "--into", folder, stdin=rows(*OLD))
    done("index", "delete", "o-3", "o-5", "--index", folder)
    done("index", "add", "-", "--index", folder, stdin=rows({"_id": "p-1", "text": "measles"}))
    return folder


@pytest.fixture
def index(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "index")
    return tmp_path / "index"


def run(command: tuple[str, ...], index: Path) -> Outcome:
    return patientdx(*(arg.format(index=index) for arg in command), stdin=NEW)


def check_refusal(outcome: Outcome, said: str) -> None:
    assert outcome.code == 1
    assert re.fullmatch(r"error: [^\n]+\n\nhint: [^\n]+\n", outcome.err), outcome.err
    assert said in outcome.err
    assert SECRET not in outcome.err


ANY_COMMAND = READING | {name: CHANGING[name] for name in ("add", "update", "delete", "compact")}


@pytest.mark.parametrize("command", list(ANY_COMMAND))
@pytest.mark.parametrize("place", ["nothing", "empty", "file"])
def test_where_there_is_no_index_that_is_said(command: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(NEW)
    before = digests(tmp_path)
    check_refusal(run(ANY_COMMAND[command], tmp_path / place), f"no index in `{tmp_path / place}`")
    assert digests(tmp_path) == before


@pytest.mark.parametrize("command", list(ANY_COMMAND))
def test_a_newer_index_is_left_alone(command: str, index: Path) -> None:
    manifest = index / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"version": 1', '"version": 99'), encoding="utf-8")
    before = digests(index)
    outcome = run(ANY_COMMAND[command], index)
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
    outcome = run(ANY_COMMAND[command], index)
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
        outcome = run(READING["info"], index)
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
    outcome = run(ANY_COMMAND[command], index)
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
    verified = run(READING["verify"], index)
    assert verified.code == 1
    assert str(file) in verified.out
    for name, command in ANY_COMMAND.items():
        outcome = run(command, index)
        assert outcome.code in {0, 1}, name
        assert SECRET not in outcome.err
        if outcome.code:
            assert outcome.err.startswith("error: ")


@pytest.mark.parametrize("command", list(CHANGING))
def test_two_writers_do_not_meet(command: str, index: Path) -> None:
    (index / "writer.lock").touch()
    before = digests(index)
    handle = os.open(index / "writer.lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        check_refusal(run(CHANGING[command], index), "another process is writing to this index")
        assert digests(index) == before
        for reading in READING.values():
            assert run(reading, index).code == 0
    finally:
        os.close(handle)
    assert run(CHANGING[command], index).code == 0


class Disk:
    """A disk that is full from its nth fsync on."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.fsync = os.fsync

    def __call__(self, handle: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.fsync(handle)


@pytest.mark.parametrize("command", list(CHANGING))
def test_a_full_disk_leaves_the_state_before_or_the_state_after(
    command: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(index)
    for writes in range(20):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", Disk(writes))
            outcome = run(CHANGING[command], index)
        if outcome.code == 0:
            break
        check_refusal(outcome, "No space left on device")
        if "the index is as it was" in outcome.err:
            assert digests(index) == before
        assert run(READING["verify"], index).code == 0
    assert writes >= 2
    assert outcome.code == 0
    assert run(READING["verify"], index).code == 0


@pytest.mark.parametrize("writes", range(4))
def test_a_full_disk_leaves_no_new_index(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", Disk(writes))
        outcome = patientdx("index", "build", "-", "--into", tmp_path / "new", stdin=NEW)
    if outcome.code:
        check_refusal(outcome, "No space left on device")
        if not (tmp_path / "new").exists():
            assert list(tmp_path.iterdir()) == []
    else:
        assert writes == 3
    if (tmp_path / "new").exists():
        assert run(READING["verify"], tmp_path / "new").code == 0


@pytest.mark.parametrize("command", list(CHANGING))
def test_an_interrupted_change_leaves_the_index(
    command: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    before = digests(index)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        outcome = run(CHANGING[command], index)
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "interrupted\n")
    assert digests(index) == before


def test_folders_that_hold_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("kept", encoding="utf-8")
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    before = digests(tmp_path)
    for options in ((), ("--replace",)):
        for place in ("letters", "file"):
            build = ("index", "build", "-", "--into", tmp_path / place, *options)
            check_refusal(patientdx(*build, stdin=NEW), str(tmp_path / place))
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stemmer", "lancaster"), "unknown stemmer `lancaster`"),
        (("--stopwords", "no-such-file"), "no-such-file: the stop list cannot be read"),
        (("--stopwords", "/dev/null"), "/dev/null: the stop list holds no words"),
        (("--k1", "-1"), "k1 must lie between 0 and 1000"),
        (("--b", "2"), "b must lie between 0 and 1"),
        (("--id-field", "nr"), "stdin:1: no field `nr`"),
        (("--text-field", "nr"), "stdin:1: no field `nr`"),
        (("--title-field", "nr"), "stdin:1: no field `nr`"),
    ],
)
def test_settings_that_cannot_be_used(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    outcome = patientdx("index", "build", "-", "--into", tmp_path / "new", *options, stdin=NEW)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"error: {said}")
    assert list(tmp_path.iterdir()) == []


def test_unknown_patients_are_not_deleted(index: Path) -> None:
    before = digests(index)
    outcome = patientdx("index", "delete", "o-1", "nobody", "--index", index)
    assert outcome.code == 1
    assert "no patient `nobody` in this index" in outcome.err
    assert digests(index) == before
    check_refusal(patientdx("index", "delete", "-", "--index", index, stdin="\n"), "no ids given")
