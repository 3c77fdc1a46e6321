"""Advisory locks between processes (`flock`).

A lock belongs to an open file and ends with its process, so a killed process leaves none behind.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from patientdx.errors import PatientDxError


def require_file_locks() -> ModuleType:
    """The module `fcntl`. Raises PatientDxError on systems without it (Windows)."""
    try:
        import fcntl
    except ModuleNotFoundError:
        raise PatientDxError(
            "PatientDx needs a POSIX system (Linux or macOS) for file locks"
        ) from None
    return fcntl


def lock_file(path: Path) -> int:
    """Locks a file, which is created if missing; returns its descriptor. Closing it unlocks.

    Raises BlockingIOError if another process holds the lock, FileNotFoundError if another process
    removed the file in the meantime, other OSErrors if it cannot be opened.
    """
    require_file_locks()
    return _lock(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o644))


def lock_folder(folder: Path) -> int:
    """Locks an existing folder (not a link to one); otherwise like `lock_file`."""
    require_file_locks()
    return _lock(folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))


@contextmanager
def closing_descriptor(descriptor: int) -> Iterator[None]:
    """Closes a descriptor at the end, which releases its lock."""
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, descriptor: int) -> int:
    fcntl = require_file_locks()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed the path since it was opened, and made a new one.
        unchanged = os.path.samestat(os.fstat(descriptor), path.stat())
    except BaseException:
        os.close(descriptor)
        raise
    if unchanged:
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
