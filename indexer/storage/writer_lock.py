"""The writer lock: an advisory lock on an empty file, which admits a single writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patientdx.errors import IndexFolderError
from patientdx.storage.locks import closing_descriptor, lock_file

LOCK_NAME = "writer.lock"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Holds the lock; raises IndexFolderError at once if another process has it.

    The lock ends with the process, so a killed writer leaves none behind.
    """
    try:
        descriptor = lock_file(folder / LOCK_NAME)
    except BlockingIOError:
        raise IndexFolderError(
            f"{folder}: another process is writing to this index",
            hint="wait until it has finished, then run the command again",
        ) from None
    except OSError as error:
        raise IndexFolderError(
            f"{folder}: the index cannot be written to ({error.strerror})"
        ) from None
    with closing_descriptor(descriptor):
        yield
