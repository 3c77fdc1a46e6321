"""Writes that survive a power cut: syncing files and folders, and replacing files by a rename.

A rename is durable once the folder that holds the name is synced, see `sync_folder`.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


def flush_and_sync(stream: IO[bytes]) -> None:
    """Flushes an open file and waits until its bytes are on disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_data(descriptor: int) -> None:
    """Waits until the bytes of an open file are on disk; its times need not be."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)


def reserve_space(descriptor: int, size: int) -> None:
    """Gives an open file its size, and its space where possible: a full disk is noticed at once."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all bytes at an offset of an open file. Threads may share the descriptor."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_file(path: Path) -> None:
    """Waits until the bytes of a file are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path, *, required: bool = False) -> None:
    """Waits until the names in a folder are on disk.

    Some file systems refuse this, which leaves the files themselves safe: an OSError is raised
    only if `required`.
    """
    if required:
        sync_file(folder)
        return
    with suppress(OSError):
        sync_file(folder)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file and syncs it."""
    with path.open("wb") as stream:
        stream.write(content)
        flush_and_sync(stream)


def replace_file(path: Path, content: bytes, temporary: Path) -> None:
    """Replaces a file in one step: writes and syncs `temporary`, then renames it to `path`."""
    write_synced(temporary, content)
    temporary.replace(path)


def rename_file(source: Path, target: Path) -> None:
    """Syncs a file, then renames it to `target`, which is replaced if it exists."""
    with source.open("rb+") as stream:
        flush_and_sync(stream)
    source.replace(target)


def rename_folder(source: Path, target: Path) -> None:
    """Renames a folder of synced files, durably. The target must be missing or an empty folder."""
    sync_folder(source)
    source.rename(target)
    sync_folder(target.parent)
