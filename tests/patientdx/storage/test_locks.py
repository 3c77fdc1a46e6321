"""File locks: one holder at a time, gone with their process, and refused without `fcntl`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from paths import ROOT

from evaluator.cohorts.spilling import spill_folder
from indexer.storage.build_folder import temporary_build_folder
from merger.outputs.staging import open_staging
from patientdx.errors import PatientDxError
from patientdx.storage.locks import (
    closing_descriptor,
    lock_file,
    lock_folder,
    require_file_locks,
)

HOLD = """
import sys, time
from pathlib import Path
from patientdx.storage.locks import lock_file
lock_file(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def test_a_held_file_is_refused_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with closing_descriptor(lock_file(path)):
        with pytest.raises(BlockingIOError):
            lock_file(path)
        assert path.stat().st_size == 0
    with closing_descriptor(lock_file(path)):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(BlockingIOError):
        lock_file(path)
    holder.kill()
    holder.communicate()
    os.close(lock_file(path))


def test_a_folder_is_locked_but_not_through_a_link(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    with closing_descriptor(lock_folder(folder)), pytest.raises(BlockingIOError):
        lock_folder(folder)
    with pytest.raises(OSError, match="link"):
        lock_folder(link)
    with pytest.raises(FileNotFoundError):
        lock_folder(tmp_path / "missing")


@pytest.mark.parametrize("again", [True, False])
def test_a_file_that_was_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    path = tmp_path / "lock"
    fcntl = require_file_locks()

    def flock(descriptor: int, operation: int) -> None:
        path.unlink()
        if again:
            path.touch()

    before = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else set()
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(FileNotFoundError) as caught:
        lock_file(path)
    assert caught.value.strerror == "No such file or directory"
    if before:
        assert set(Path("/proc/self/fd").iterdir()) == before


def build(folder: Path) -> None:
    with temporary_build_folder(folder / "index"):
        pass


def merge(folder: Path) -> None:
    with open_staging(folder / "model"):
        pass


def spill(folder: Path) -> None:
    with spill_folder(folder):
        pass


@pytest.mark.parametrize(
    "use", [build, merge, spill, lambda folder: lock_file(folder / "lock"), lock_folder]
)
def test_a_system_without_locks_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object]
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(PatientDxError) as caught:
        use(tmp_path)
    assert caught.value.message == (
        "PatientDx needs a POSIX system (Linux or macOS) for file locks"
    )
    assert list(tmp_path.iterdir()) == []
