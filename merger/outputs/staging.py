"""The folder `.NAME.merging` beside the target, in which an output is written until it is complete.

It holds `model` (the future output), `journal` and `lock`. One rename makes `model` the target. A
merge that was killed or interrupted leaves the folder, and the next merge of the same plan resumes
it; a merge that fails removes it. Work that cannot be resumed, such as MergeKit's, is dropped by
the next merge into the same target, whatever its engine.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from patientdx.errors import InputError, MergeError
from patientdx.storage.durable import rename_folder, sync_file, write_synced
from patientdx.storage.locks import closing_descriptor, lock_file, require_file_locks

from .journal import FinishedTensors, begin_journal, read_journal
from .shards import Shard

_ATTEMPTS = 10


class Staging(NamedTuple):
    """A locked staging folder, and the target that it becomes."""

    target: Path
    folder: Path

    @property
    def model(self) -> Path:
        """The future output."""
        return self.folder / "model"

    @property
    def journal(self) -> Path:
        """The journal file."""
        return self.folder / "journal"

    def resume(self, key: str, shards: list[Shard]) -> FinishedTensors:
        """The tensors that an earlier run of this plan finished; none if it has to start over."""
        finished = read_journal(self.journal, key)
        if finished is None or not all(self._is_complete(shard) for shard in shards):
            shutil.rmtree(self.model, ignore_errors=True)
            finished = {}
        self.model.mkdir(exist_ok=True)
        self._remove_all_but(shards)
        begin_journal(self.journal, key, finished)
        return finished

    def clear(self) -> None:
        """Removes what an earlier run left, and first its journal, which vouches for the rest."""
        self.journal.unlink(missing_ok=True)
        shutil.rmtree(self.model, ignore_errors=True)

    def sync(self) -> None:
        """Syncs the files of the output that were not written by us."""
        for path in self.model.iterdir():
            sync_file(path)

    def finish(
        self, files: Mapping[str, bytes], complete: Callable[[Path], None] = lambda _folder: None
    ) -> None:
        """Adds small files, lets `complete` add to the folder, and renames it to the target."""
        for name, content in files.items():
            write_synced(self.model / name, content)
        complete(self.model)
        rename_folder(self.model, self.target)

    def _remove_all_but(self, shards: list[Shard]) -> None:
        """Removes files that an earlier run wrote beside the weights: they may be half written."""
        names = {shard.name for shard in shards}
        for path in self.model.iterdir():
            if path.name not in names:
                path.unlink()

    def _is_complete(self, shard: Shard) -> bool:
        path = self.model / shard.name
        return path.exists() and path.stat().st_size == shard.size


@contextmanager
def open_staging(target: Path, *, resumes: bool = True) -> Iterator[Staging]:
    """The locked staging folder of a target, which is removed when the block ends.

    An interrupt leaves it if the merge `resumes`. Raises InputError if the target is not empty,
    MergeError if another process merges into it.
    """
    check_unused(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = _staging_folder(target)
    with hold_folder(target, folder, resumes=resumes):
        check_unused(target)
        yield Staging(target, folder)


@contextmanager
def hold_folder(target: Path, folder: Path, *, resumes: bool = True) -> Iterator[None]:
    """Lock a folder for the merge into a target, and remove it when the block ends.

    An interrupt leaves it if the merge `resumes`. Raises MergeError if another process holds it,
    or if it cannot be created.
    """
    with _locked(target, folder):
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) or not resumes:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def check_unused(folder: Path) -> None:
    """Raises InputError unless `folder` is an empty folder or does not exist."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        state = "is a link, not a folder" if folder.is_symlink() else "is a file, not a folder"
        if folder.is_dir() and not folder.is_symlink():
            state = "the folder is not empty"
        raise InputError(f"{folder}: {state}", hint="name a new folder, or remove this one first")


def reclaimable_bytes(target: Path) -> int:
    """Bytes on disk that an earlier run into the target left, and that the next run reuses."""
    try:
        return _bytes_on_disk(_staging_folder(target) / "model")
    except OSError:  # no such folder, or it is being removed
        return 0


def _bytes_on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _staging_folder(target: Path) -> Path:
    return target.with_name(f".{target.name}.merging")


def check_disk_space(staging: Staging, shards: list[Shard]) -> None:
    """Raises MergeError if the output does not fit on the disk."""
    needed = sum(shard.size for shard in shards) - _bytes_on_disk(staging.model)
    free = shutil.disk_usage(staging.folder).free
    if needed > free:
        raise MergeError(
            f"{staging.target}: the disk has {free / 1e9:.1f} GB free, "
            f"{needed / 1e9:.1f} GB more are needed",
            hint="free some space or choose a folder on another disk",
        )


@contextmanager
def _locked(target: Path, folder: Path) -> Iterator[None]:
    """Hold the lock of a staging folder; the system releases it when the process ends."""
    with closing_descriptor(_open_lock(target, folder)):
        yield


def _open_lock(target: Path, folder: Path) -> int:
    """Create the folder if necessary, and open and lock its lock file."""
    require_file_locks()  # before anything is created
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(target, error) from None
        try:
            return lock_file(folder / "lock")
        except FileNotFoundError:  # another merge has just ended
            continue
        except BlockingIOError:
            raise MergeError(
                f"{target}: another process is merging into this folder",
                hint="wait until it has finished, or name another folder",
            ) from None
        except OSError as error:
            with suppress(OSError):
                folder.rmdir()
            raise write_error(target, error) from None
    raise MergeError(f"{target}: the folder to merge in could not be locked")


def write_error(target: Path, error: OSError) -> MergeError:
    """The MergeError for an error of the operating system while writing an output."""
    reason = error.strerror or type(error).__name__
    return MergeError(
        f"{target}: the merge cannot be written: {reason}; nothing is left of it",
        hint="free some space or choose another folder, then run the command again",
    )
