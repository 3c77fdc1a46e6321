"""Writers that are killed, and disks that fail: the index is in one committed state."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
import writer
from paths import ROOT

from indexer.index import Index
from indexer.segments.merge_policy import MAX_SEGMENTS
from indexer.storage.manifest import MANIFEST_NAME as MANIFEST
from indexer.storage.writer_lock import LOCK_NAME as LOCK
from indexer.verify import verify_index
from indexer.writer import add_patients, build_index, compact_index, delete_patients
from patientdx.errors import IndexFolderError
from patientdx.records import Patient, Query

KILLS = int(os.environ.get("PATIENTDX_KILLS", "25"))
CHANGES = 12


def start_writer(*arguments: object) -> subprocess.Popen[str]:
    """The script, up to where its work begins."""
    process = subprocess.Popen(
        [sys.executable, str(Path(writer.__file__)), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def kill_writer(process: subprocess.Popen[str], after: float) -> list[int]:
    """The generations it had acknowledged when it was killed."""
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}
    # The last line may have been cut.
    return [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]


def run_time(*arguments: object) -> float:
    process = start_writer(*arguments)
    begun = time.monotonic()
    process.communicate()
    assert process.returncode == 0
    return time.monotonic() - begun


def check_state(folder: Path, generation: int) -> None:
    index = Index.open(folder)
    expected = writer.state(generation)
    assert {patient.patient_id: patient.text for patient in index.patients()} == expected
    assert index.size == len(expected)
    (hits,) = index.search_many([Query("all", " ".join(f"w{i}" for i in range(97)))], 10_000)
    assert {hit.doc_id for hit in hits} == set(expected)


def is_clean(folder: Path) -> bool:
    used = Index.open(folder).manifest.files | {MANIFEST, LOCK}
    return {path.name for path in folder.iterdir()} == used


def test_builds_that_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    whole = run_time("build", folder)
    check_state(folder, 1)
    rnd = Random(1)
    built = 0
    for _ in range(KILLS):
        shutil.rmtree(folder, ignore_errors=True)
        acknowledged = kill_writer(start_writer("build", folder), rnd.uniform(0, whole))
        assert folder.exists() or not acknowledged
        if folder.exists():
            built += 1
            assert verify_index(folder)[1] == []
            check_state(folder, 1)
    assert built < KILLS  # some were killed in time
    shutil.rmtree(folder, ignore_errors=True)
    run_time("build", folder)
    # What the killed ones left behind is gone.
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_changes_that_are_killed(tmp_path: Path) -> None:
    folder, copy = tmp_path / "index", tmp_path / "copy"
    run_time("build", folder)
    shutil.copytree(folder, copy)
    whole = run_time("change", copy, CHANGES)
    check_state(copy, 1 + CHANGES)
    rnd = Random(2)
    last = 1
    for _ in range(KILLS):
        acknowledged = kill_writer(start_writer("change", folder, CHANGES), rnd.uniform(0, whole))
        assert acknowledged == list(range(last + 1, last + 1 + len(acknowledged)))
        generation = Index.open(folder).manifest.generation
        # All that was acknowledged is there, and at most one commit more.
        assert generation - (last + len(acknowledged)) in {0, 1}
        manifest, damage = verify_index(folder)
        assert (manifest.generation, damage) == (generation, [])
        check_state(folder, generation)
        last = generation
    run_time("change", folder, 1)
    assert is_clean(folder)


NEW = [Patient("new", "w1 w2 w3")]
Write = Callable[[Path], object]
WRITES: dict[str, Write] = {
    "add": lambda folder: add_patients(folder, NEW),
    "update": lambda folder: add_patients(folder, [Patient("g1-3", "w5")], update=True),
    "delete": lambda folder: delete_patients(folder, ["g1-3", "small-2"]),
    "compact": compact_index,
    "rebuild": lambda folder: build_index(folder, NEW, replace_existing=True),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index so full of segments that the next addition folds some of them."""
    folder = tmp_path_factory.mktemp("base") / "index"
    build_index(folder, writer.patients(1), layout=writer.LAYOUT)
    for i in range(1, MAX_SEGMENTS):
        add_patients(folder, [Patient(f"small-{i}", f"w{i} w1 other")])
    delete_patients(folder, ["g1-5"])
    return folder


def visible_state(folder: Path) -> tuple[object, ...]:
    index = Index.open(folder)
    return index.manifest, index.search("w1 w2 w3 other", 50), list(index.patients())


def check_failure(base: Path, folder: Path, write: Write) -> bool:
    """Runs a write on a copy; True when it failed, and as it should."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    message = failure_message(write, folder)
    if message is None:
        return False
    made = "the change was made" in message
    assert made or "the index is as it was" in message
    assert (visible_state(folder) == visible_state(base)) != made
    assert verify_index(folder)[1] == []
    assert is_clean(folder)
    return True


def failure_message(write: Write, folder: Path) -> str | None:
    """What the one permitted kind of error says; None where there was none."""
    try:
        write(folder)
    except IndexFolderError as error:
        return error.message
    return None


def fail_nth(calls: Iterator[int], real: Callable[..., object], n: int) -> Callable[..., object]:
    def failing(*arguments: object) -> object:
        if next(calls) == n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    return failing


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("name", WRITES)
def test_a_call_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: Path, name: str, call: str
) -> None:
    def write(n: int, folder: Path) -> object:
        with monkeypatch.context() as patch:
            calls = iter(range(10_000))
            patch.setattr(os, call, fail_nth(calls, getattr(os, call), n))
            return WRITES[name](folder)

    failures = 0
    while check_failure(base, tmp_path / "copy", partial(write, failures)):
        failures += 1
    assert failures >= (1 if call == "replace" else 4)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a real error in the midst of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITES)
def test_a_disk_that_is_full(tmp_path: Path, base: Path, name: str) -> None:
    def write(size: int, folder: Path) -> object:
        with file_size_limit(size):
            return WRITES[name](folder)

    done = [
        size
        for size in (0, 1, 63, 64, *range(100, 4000, 400), *range(4000, 60_000, 4000), 10**7)
        if not check_failure(base, tmp_path / "copy", partial(write, size))
    ]
    assert done[-1] == 10**7
    assert 0 not in done


@pytest.mark.parametrize("size", [0, 1, 100, 4000, 10_000, 20_000])
def test_a_build_on_a_disk_that_is_full(tmp_path: Path, size: int) -> None:
    with pytest.raises(IndexFolderError, match="writing failed"), file_size_limit(size):
        build_index(tmp_path / "index", writer.patients(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "rename", "replace"])
def test_a_call_of_a_build_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    folder = tmp_path / "index"
    for n in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail_nth(iter(range(10_000)), getattr(os, call), n))
            message = failure_message(lambda target: build_index(target, NEW), folder)
        if message is None:
            assert n > 0
            return
        made = "the change was made" in message
        assert folder.exists() == made
        assert {path.name for path in tmp_path.iterdir()} == ({"index"} if made else set())
        if made:
            assert verify_index(folder)[1] == []
            shutil.rmtree(folder)
