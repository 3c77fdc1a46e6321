"""Durable writes: what is synced, in which order, and what a failing disk leaves behind."""

import errno
import os
from pathlib import Path

import pytest

from patientdx.storage.durable import (
    rename_file,
    rename_folder,
    replace_file,
    sync_folder,
    write_synced,
)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is synced and renamed, in order."""
    recorded: list[str] = []
    real_sync, real_replace, real_rename = os.fsync, os.replace, os.rename

    def fsync(descriptor: int) -> None:
        recorded.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        recorded.append(f"replace {Path(target).name}")
        real_replace(source, target)

    def rename(source: Path, target: Path) -> None:
        recorded.append(f"rename {Path(target).name}")
        real_rename(source, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to name descriptors")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", rename)
    return recorded


def test_a_file_is_synced_before_it_replaces_another(tmp_path: Path, steps: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    replace_file(path, b"new", tmp_path / "file.new")
    assert path.read_bytes() == b"new"
    assert steps == ["sync file.new", "replace file"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_finished_file_is_synced_before_it_is_renamed(tmp_path: Path, steps: list[str]) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"all of it")
    rename_file(part, tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == b"all of it"
    assert steps == ["sync part", "replace whole"]


def test_a_folder_is_synced_renamed_and_its_name_synced(tmp_path: Path, steps: list[str]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    write_synced(source / "file", b"content")
    target.mkdir()  # an empty folder is replaced
    rename_folder(source, target)
    assert (target / "file").read_bytes() == b"content"
    assert steps == ["sync file", "sync source", "rename target", f"sync {tmp_path.name}"]


def test_a_file_system_that_does_not_sync_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
    with pytest.raises(OSError, match="Invalid"):
        sync_folder(tmp_path, required=True)
