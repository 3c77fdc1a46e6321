"""Changes that cannot be made: two writers, a full disk, an interrupt, no index."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest
from command_line import (
    CHANGING,
    NEW,
    READING,
    Outcome,
    check_refusal,
    digests,
    make_two_segments,
    patientdx,
    run_on,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_two_segments(tmp_path_factory.mktemp("original") / "index")


@pytest.fixture
def index(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "index")
    return tmp_path / "index"


@pytest.mark.parametrize("command", list(CHANGING))
def test_two_writers_do_not_meet(command: str, index: Path) -> None:
    (index / "writer.lock").touch()
    before = digests(index)
    handle = os.open(index / "writer.lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        check_refusal(run_on(index, CHANGING[command]), "another process is writing to this index")
        assert digests(index) == before
        for reading in READING.values():
            assert run_on(index, reading).code == 0
    finally:
        os.close(handle)
    assert run_on(index, CHANGING[command]).code == 0


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


def on_a_disk_of(writes: int, monkeypatch: pytest.MonkeyPatch, *command: object) -> Outcome:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", Disk(writes))
        return patientdx(*command, stdin=NEW)


@pytest.mark.parametrize("command", list(CHANGING))
def test_a_full_disk_leaves_the_state_before_or_the_state_after(
    command: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, outcomes = digests(original), set()
    for writes in range(10):
        index = tmp_path / str(writes)
        shutil.copytree(original, index)
        args = [arg.format(index=index) for arg in CHANGING[command]]
        outcome = on_a_disk_of(writes, monkeypatch, *args)
        if outcome.code:
            check_refusal(outcome, "No space left on device")
        is_before = "the index is as it was" in outcome.err
        assert (digests(index) == before) == is_before
        assert is_before or outcome.code == 0 or "the change was made" in outcome.err
        assert run_on(index, READING["verify"]).code == 0
        outcomes.add(outcome.err.rpartition(": ")[2] if outcome.code else "done")
    assert len(outcomes) == 3  # before, after but not confirmed, after


def test_a_full_disk_leaves_no_part_of_a_new_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = []
    for writes in range(10):
        parent = tmp_path / str(writes)
        outcome = on_a_disk_of(writes, monkeypatch, "index", "build", "-", "--into", parent / "new")
        codes.append(outcome.code)
        if outcome.code:
            check_refusal(outcome, "No space left on device")
        if outcome.code == 0 or "the change was made" in outcome.err:
            assert run_on(parent / "new", READING["verify"]).code == 0
        else:
            assert list(parent.iterdir()) == []
    assert codes == sorted(codes, reverse=True)
    assert codes[0] == 1
    assert codes[-1] == 0


@pytest.mark.parametrize("command", list(CHANGING))
def test_an_interrupted_change_leaves_the_index(
    command: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    before = digests(index)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        outcome = run_on(index, CHANGING[command])
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
    ("options", "message"),
    [
        (("--stemmer", "lancaster"), "unknown stemmer `lancaster`"),
        (("--stopwords", "no-such-file"), "no-such-file: the stop list cannot be read"),
        (("--stopwords", "/dev/null"), "/dev/null: the stop list holds no words"),
        (("--k1", "-1"), "k1 must lie between 0 and 1000"),
        (("--b", "2"), "b must lie between 0 and 1"),
        (("--id-field", "nr"), "stdin:1: no field `nr`"),
        (("--text-field", "nr"), "stdin:1: no field `nr`"),
        (("--title-field", "nr"), "stdin: no row has a field `nr`"),
    ],
)
def test_settings_that_cannot_be_used(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    outcome = patientdx("index", "build", "-", "--into", tmp_path / "new", *options, stdin=NEW)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_unknown_patients_are_not_deleted(index: Path) -> None:
    before = digests(index)
    outcome = patientdx("index", "delete", "o-1", "nobody", "--index", index)
    assert outcome.code == 1
    assert "no patient `nobody` in this index" in outcome.err
    assert digests(index) == before
    check_refusal(patientdx("index", "delete", "-", "--index", index, stdin="\n"), "no ids given")
