"""The temporary folder, beside the target, in which a new index is built."""

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from patientdx.errors import IndexFolderError
from patientdx.storage.locks import require_file_locks

from .writer_lock import LOCK_NAME, writer_lock

_ATTEMPTS = 10


@contextmanager
def temporary_build_folder(target: Path) -> Iterator[Path]:
    """Creates and locks a folder on the target's disk; removes it if the block fails.

    Folders of killed builds are removed first. This may hit a folder that another build has
    created but not locked yet; that build notices it and creates another.
    """
    require_file_locks()  # before anything is created
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    with ExitStack() as stack:
        folder = _create_locked_folder(target, stack)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _create_locked_folder(target: Path, stack: ExitStack) -> Path:
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.building-", dir=target.parent))
        with suppress(IndexFolderError):
            stack.enter_context(writer_lock(folder))
            if (folder / LOCK_NAME).exists():
                return folder
    raise IndexFolderError(f"{target}: no folder to build in could be kept")


def _remove_abandoned(target: Path) -> None:
    """Removes the build folders of dead processes: those whose lock is free or missing."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.building-*"):
        with suppress(IndexFolderError, OSError):
            if not (path / LOCK_NAME).exists():
                path.rmdir()
                continue
            with writer_lock(path):
                shutil.rmtree(path, ignore_errors=True)
