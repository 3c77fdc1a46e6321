"""Private folders for what exceeds the memory, each locked for as long as its owner lives.

A lock ends with its process: what a killed one left behind is removed by the next one here.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patientdx.errors import PatientDxError

PREFIX = ".patientdx-spill-"


@contextmanager
def spill_folder(place: Path) -> Iterator[Path]:
    """A new folder in a folder, removed in the end. Raises PatientDxError where none can be made.

    Removes such folders of dead processes of this user; never one that a living process holds.
    """
    try:
        remove_abandoned(place)
        folder, handle = _made(place)
    except OSError as error:
        raise PatientDxError(
            f"{place}: no spill folder can be made here: {error.strerror}", hint="give --spill"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_abandoned(place: Path) -> None:
    """Removes this user's spill folders that no process holds."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, held, or gone meanwhile
            handle = _locked(folder)
            try:
                if os.fstat(handle).st_uid == os.geteuid():
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _made(place: Path) -> tuple[Path, int]:
    """A new folder and its lock; another one where it was taken for abandoned meanwhile."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError, BlockingIOError):
            return folder, _locked(folder)


def _locked(folder: Path) -> int:
    """The open folder, locked. Raises BlockingIOError where held, OSError where it is no folder."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino != folder.stat().st_ino:
            raise FileNotFoundError(folder)
    except OSError:
        os.close(handle)
        raise
    return handle
