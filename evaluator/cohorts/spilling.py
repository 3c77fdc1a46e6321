"""Private folders for data that exceeds the memory, each locked while its process lives.

A lock ends with its process: the next process that spills here removes the folder of a killed one.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patientdx.errors import PatientDxError
from patientdx.storage.locks import closing_descriptor, lock_folder, require_file_locks

PREFIX = ".patientdx-spill-"


@contextmanager
def spill_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end. Raises PatientDxError where none can be made.

    First removes the spill folders that dead processes of this user left there.
    """
    require_file_locks()  # before anything is created
    try:
        remove_abandoned(parent)
        folder, handle = _create_locked_folder(parent)
    except OSError as error:
        raise PatientDxError(
            f"{parent}: no spill folder can be made here: {error.strerror}", hint="give --spill"
        ) from None
    with closing_descriptor(handle):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Removes this user's spill folders that no process holds."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, held, or gone meanwhile
            handle = lock_folder(folder)
            with closing_descriptor(handle):
                if os.fstat(handle).st_uid == os.geteuid():
                    shutil.rmtree(folder, ignore_errors=True)


def _create_locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder and its lock; tries again where another process removed it before the lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):
            return folder, lock_folder(folder)
