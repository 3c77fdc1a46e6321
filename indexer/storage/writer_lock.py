"""The writer lock: an advisory lock on an empty file, which admits a single writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patientdx.errors import IndexFolderError

LOCK_NAME = "writer.lock"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Holds the lock; raises IndexFolderError at once if another process has it.

    The lock ends with the process, so a killed writer leaves none behind.
    """
    import fcntl

    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise IndexFolderError(
            f"{folder}: the index cannot be written to ({error.strerror})"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IndexFolderError(
                f"{folder}: another process is writing to this index",
                hint="wait until it has finished, then run the command again",
            ) from None
        yield
    finally:
        os.close(handle)
