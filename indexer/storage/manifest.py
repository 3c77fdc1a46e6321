"""The manifest: the files of the committed state of an index, and its settings.

`manifest.json` is replaced by an atomic rename; that rename is the commit. The file is the
canonical JSON of its content and includes its own digest, so that any changed byte is detected.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from patientdx.errors import IndexFolderError, InputError
from patientdx.storage.durable import replace_file, sync_folder

from .container import Section
from .layout import Layout

MANIFEST_NAME = "manifest.json"
FORMAT = "patientdx-index"
VERSION = 3
READABLE_VERSIONS = (2, VERSION)
"""Versions that open; the next commit writes VERSION."""
_MOST_SOURCES = 100  # whose columns are remembered
LEFTOVERS = frozenset({".pdx", ".tmp"})
"""Suffixes of files that the next writer removes unless the manifest names them."""
_NOT_A_MANIFEST = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    InputError,  # readable settings with invalid values
)


@dataclass(frozen=True)
class StoredFile:
    """A container of the index with its table of sections."""

    name: str
    sections: dict[str, Section]

    def to_json(self) -> dict[str, Any]:
        """The entry as stored in the manifest."""
        return {"name": self.name, "sections": [s.to_json() for s in self.sections.values()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StoredFile":
        """The inverse of `to_json`."""
        sections = [Section.from_json(section) for section in data["sections"]]
        return cls(data["name"], {section.name: section for section in sections})


@dataclass(frozen=True)
class SegmentEntry:
    """A segment and its deletions. `live_notes` and `live_tokens` exclude deleted notes."""

    file: StoredFile
    fields: tuple[str, ...]
    notes: int
    live_notes: int
    live_tokens: int
    corpus_digest: str
    deletions: StoredFile | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry as stored in the manifest."""
        return {
            "file": self.file.to_json(),
            "fields": list(self.fields),
            "notes": self.notes,
            "live_notes": self.live_notes,
            "live_tokens": self.live_tokens,
            "corpus_digest": self.corpus_digest,
            "deletions": self.deletions.to_json() if self.deletions else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SegmentEntry":
        """The inverse of `to_json`."""
        deletions = data["deletions"]
        return cls(
            file=StoredFile.from_json(data["file"]),
            fields=tuple(data["fields"]),
            notes=data["notes"],
            live_notes=data["live_notes"],
            live_tokens=data["live_tokens"],
            corpus_digest=data["corpus_digest"],
            deletions=StoredFile.from_json(deletions) if deletions else None,
        )


@dataclass(frozen=True)
class Manifest:
    """A committed state of an index.

    `understood` says, for each source that was added, what its columns and values were taken for.
    """

    analysis: AnalysisSettings
    bm25: BM25Settings
    layout: Layout
    generation: int = 0
    segments: tuple[SegmentEntry, ...] = ()
    corpus: tuple[str, ...] = ()
    software: str = ""
    version: int = VERSION
    understood: tuple[Mapping[str, Any], ...] = ()

    @property
    def notes(self) -> int:
        """Number of live notes."""
        return sum(segment.live_notes for segment in self.segments)

    @property
    def tokens(self) -> int:
        """Number of tokens of the live notes."""
        return sum(segment.live_tokens for segment in self.segments)

    @property
    def files(self) -> set[str]:
        """Names of the containers of this state."""
        stored = [segment.file for segment in self.segments]
        stored += [s.deletions for s in self.segments if s.deletions]
        return {file.name for file in stored}

    @property
    def digest(self) -> str:
        """Hash of this state: settings, notes and deletions."""
        content = self._content()
        content.pop("understood", None)
        return _digest(content)

    def successor(
        self,
        segments: tuple[SegmentEntry, ...],
        corpus: tuple[str, ...],
        understood: Mapping[str, Any] | None = None,
    ) -> "Manifest":
        """The state that follows this one, and what was understood of a source added by it."""
        sources = self.understood if understood is None else (*self.understood, understood)
        return replace(
            self,
            generation=self.generation + 1,
            segments=segments,
            corpus=corpus,
            version=VERSION,
            understood=sources[-_MOST_SOURCES:],
        )

    def to_bytes(self) -> bytes:
        """The canonical bytes of the manifest file."""
        content = self._content()
        return _canonical({**content, "digest": _digest(content)})

    def _content(self) -> dict[str, Any]:
        understood = {"understood": list(self.understood)} if self.understood else {}
        return {
            **understood,
            "format": FORMAT,
            "version": self.version,
            "generation": self.generation,
            "software": self.software,
            "analysis": self.analysis.to_json(),
            "bm25": {"k1": self.bm25.k1, "b": self.bm25.b},
            "layout": self.layout.to_json(),
            "corpus": list(self.corpus),
            "segments": [segment.to_json() for segment in self.segments],
        }

    @classmethod
    def from_bytes(cls, raw: bytes, path: Path) -> "Manifest":
        """Parses a manifest. Raises IndexFolderError if it is damaged or of another version."""
        damaged = IndexFolderError(
            f"{path}: the manifest is damaged",
            hint="restore the index from a copy, or build it again with `index build --replace`",
        )
        try:
            data = json.loads(raw)
            if data["format"] == FORMAT and data["version"] not in READABLE_VERSIONS:
                raise _version_error(path, data["version"] > VERSION, data["version"])
            manifest = cls._from_json(data)
            intact = manifest.to_bytes() == raw
        except _NOT_A_MANIFEST:
            raise damaged from None
        if not intact:
            raise damaged
        return manifest

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> "Manifest":
        return cls(
            analysis=AnalysisSettings.from_json(data["analysis"]),
            bm25=BM25Settings(**data["bm25"]),
            layout=Layout(**data["layout"]),
            generation=data["generation"],
            segments=tuple(SegmentEntry.from_json(segment) for segment in data["segments"]),
            corpus=tuple(data["corpus"]),
            software=data["software"],
            version=data["version"],
            understood=tuple(data.get("understood", ())),
        )


def read_manifest(folder: Path) -> Manifest:
    """The committed state of an index folder. Raises IndexFolderError if there is none."""
    path = folder / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise IndexFolderError(
            f"no index in `{folder}`", hint="make one: index build SOURCE --into FOLDER"
        ) from None
    except OSError as error:
        raise IndexFolderError(f"{path}: cannot be read ({error.strerror})") from None
    return Manifest.from_bytes(raw, path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Commits `manifest` as the state of the folder: writes a temporary file, syncs, renames.

    The commit survives a power cut once the folder is synced too, see `sync_commit`.
    """
    path = folder / MANIFEST_NAME
    replace_file(path, manifest.to_bytes(), path.with_name(f"{MANIFEST_NAME}.tmp"))


def sync_commit(changed: Path, parent: Path) -> None:
    """Makes the rename of a commit durable, by syncing its folder. Raises IndexFolderError."""
    try:
        sync_folder(parent, required=True)
    except OSError as error:
        raise IndexFolderError(
            f"{changed}: the change was made, but the disk did not confirm it ({error.strerror})",
            hint="see that the disk is sound, then: index verify",
        ) from None


def _version_error(path: Path, newer: bool, version: int) -> IndexFolderError:
    reads = f"the index has format version {version}, this program reads version {VERSION}"
    again = "build the index again with this version: index build --replace"
    return IndexFolderError(
        f"{path}: {reads}", hint=f"update PatientDx, or {again}" if newer else again
    )


def _canonical(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(_canonical(content), digest_size=16).hexdigest()
