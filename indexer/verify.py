"""Verifying an index: reads every byte and compares it with the committed checksums."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from patientdx.errors import IndexFolderError

from .storage.container import ContainerReader
from .storage.manifest import LEFTOVERS, MANIFEST_NAME, Manifest, StoredFile, read_manifest
from .storage.writer_lock import LOCK_NAME


class Damage(NamedTuple):
    """A file and the part of it that does not match its checksum."""

    path: Path
    part: str


def verify_index(folder: Path | str) -> tuple[Manifest, list[Damage]]:
    """The committed state of an index, and all damage to its files.

    Raises IndexFolderError if the manifest cannot be read.
    """
    folder = Path(folder)
    while True:
        manifest = read_manifest(folder)
        damage = list(_find_damage(folder, manifest))
        # A writer may have committed, and removed old files, in the meantime.
        if not damage or read_manifest(folder) == manifest:
            return manifest, damage


def _find_damage(folder: Path, manifest: Manifest) -> Iterator[Damage]:
    lock = folder / LOCK_NAME
    if lock.exists() and lock.stat().st_size:
        yield Damage(lock, "should be empty")
    for segment in manifest.segments:
        yield from _find_file_damage(folder, segment.file)
        if segment.deletions:
            yield from _find_file_damage(folder, segment.deletions)
    known = manifest.files | {MANIFEST_NAME, LOCK_NAME}
    for path in sorted(folder.iterdir()):
        # Files of an active or killed writer are not damage, see `writer`.
        leftover = path.name.startswith(".") or path.suffix in LEFTOVERS
        if path.name not in known and not leftover:
            yield Damage(path, "does not belong to the index")


def _find_file_damage(folder: Path, stored: StoredFile) -> Iterator[Damage]:
    path = folder / stored.name
    try:
        reader = ContainerReader(path, stored.sections)
    except IndexFolderError as error:
        yield Damage(path, error.message.removeprefix(f"{path}: "))
        return
    for section in reader.damaged_sections():
        yield Damage(path, f"section `{section}`")
