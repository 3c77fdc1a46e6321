"""The folder `.NAME.adapters` beside the target, for inputs of a merge with their adapters added.

The name of each is a digest of everything that it is made of, so that a merge that was killed
finds the same model again and goes on. It is written under another name, synced and renamed.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from merger.outputs.staging import hold_folder, write_error
from patientdx.storage.durable import rename_folder, sync_file

from .adapters import adapter_digest, apply_adapter
from .checkpoint import Checkpoint
from .companion_files import read_companion_files, read_tokenizer_files

_EDITION = 2  # of the arithmetic: raised when the same adapter would give other bytes
_LOCK = "lock"


@contextmanager
def open_with_adapters(
    models: Sequence[tuple[Checkpoint, Path | None]], target: Path
) -> Iterator[tuple[Checkpoint, ...]]:
    """Add adapters to the models that have one, for a merge into `target`.

    The folder of these models is removed when the block ends, except after an interrupt. Raises
    InputError for an adapter that cannot be read, and MergeError for one that does not fit and if
    another process merges into the same target.
    """
    path = target.absolute()
    folder = path.with_name(f".{path.name}.adapters")
    keys = [_key(base, adapter) if adapter else None for base, adapter in models]
    if not any(keys) and not folder.exists():
        yield tuple(base for base, _ in models)
        return
    with hold_folder(target, folder):
        _drop(folder, {_LOCK, *(key for key in keys if key)})
        try:
            yield tuple(
                _add_adapter(base, adapter, folder / key) if adapter and key else base
                for (base, adapter), key in zip(models, keys, strict=True)
            )
        except BaseException as error:
            if isinstance(error, Exception):
                _retire(folder, keys)
            raise
        _retire(folder, keys)


def _key(base: Checkpoint, adapter: Path) -> str:
    beside = (read_companion_files(base.folder), read_tokenizer_files(adapter))
    files = [
        (name, hashlib.sha256(content).hexdigest())
        for part in beside
        for name, content in part.items()
    ]
    facts = (_EDITION, base.fingerprint, dict(base.config), adapter_digest(adapter), files)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _drop(folder: Path, wanted: set[str]) -> None:
    """Removes what earlier merges left, except for the `wanted` names."""
    for path in folder.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True)


def _retire(folder: Path, keys: Sequence[str | None]) -> None:
    """Renames the models before they are removed: one that is half removed must not be taken."""
    for key in filter(None, keys):
        if (folder / key).exists():
            (folder / key).rename(folder / f"{key}.removed")


def _add_adapter(base: Checkpoint, adapter: Path, folder: Path) -> Checkpoint:
    if not folder.exists():
        part = folder.with_suffix(".part")
        apply_adapter(base, adapter, part)
        try:
            for path in part.iterdir():
                if not path.is_symlink():
                    sync_file(path)
            rename_folder(part, folder)
        except OSError as error:
            raise write_error(folder, error) from None
    return Checkpoint.open(folder)
