"""Changing an index: build, add, delete, compact. Each is one atomic commit.

A build writes a temporary folder beside the target and renames it. Changes to an index that
exists write new files under new names, then replace the manifest; files that no state uses any
more are removed afterwards. A process killed at any moment leaves the state before or the state
after, and at most files that the next writer removes.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from patientdx import __version__
from patientdx.errors import IndexFolderError, InputError, NotFoundError, shown_id
from patientdx.records import Patient

from .analysis import AnalysisSettings
from .bm25 import BM25Settings
from .index import Index
from .segments.deletions import delete_from_segments
from .segments.merge_policy import choose_segments_to_merge
from .segments.segment import Segment
from .segments.segment_writer import Progress, write_segment
from .storage.build_folder import temporary_build_folder
from .storage.layout import Layout
from .storage.manifest import (
    LEFTOVERS,
    MANIFEST_NAME,
    Manifest,
    SegmentEntry,
    read_manifest,
    sync_commit,
    sync_folder,
    write_manifest,
)
from .storage.writer_lock import writer_lock

SOFTWARE = f"patientdx {__version__}"


def build_index(
    folder: Path | str,
    patients: Iterable[Patient],
    *,
    analysis: AnalysisSettings | None = None,
    bm25: BM25Settings | None = None,
    layout: Layout | None = None,
    corpus: Sequence[str] = (),
    replace_existing: bool = False,
    progress: Progress | None = None,
) -> Index:
    """Builds an index of `patients` and opens it.

    `corpus` names the sources, for the record. Raises InputError where the folder exists and
    `replace_existing` is not set, and IndexFolderError where it cannot be written.
    """
    folder = Path(folder)
    manifest = Manifest(
        analysis or AnalysisSettings(),
        bm25 or BM25Settings(),
        layout or Layout(),
        corpus=tuple(corpus),
        software=SOFTWARE,
    )
    with _write_errors(folder):
        if (folder / MANIFEST_NAME).exists():
            if not replace_existing:
                raise InputError(
                    f"`{folder}` holds an index already",
                    hint="index build --replace builds it anew, index add adds to it",
                )
            _rebuild(folder, manifest, patients, progress)
        elif folder.exists() and any(folder.iterdir()):
            raise InputError(f"`{folder}` exists and is not an index", hint="name a new folder")
        else:
            _build_new(folder, manifest, patients, progress)
    return Index.open(folder)


def add_patients(
    folder: Path | str,
    patients: Iterable[Patient],
    *,
    update: bool = False,
    corpus: Sequence[str] = (),
    progress: Progress | None = None,
) -> Index:
    """Adds patients in one commit and opens the new state.

    An id that is in the index raises InputError, unless `update` is set: then the new note
    takes the place of the old one. Small segments are folded into the new one so that their
    number stays bounded.
    """
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        index = Index.open(folder)
        replaced: list[str] = []
        fresh = _check_ids(patients, index, replaced, update=update)
        kept, folded = choose_segments_to_merge(manifest)
        old = _read_patients(folder, manifest, folded)
        # In an update the new notes come first: they tell which of the old ones they replace.
        both = chain(fresh, _skip_replaced(old, replaced)) if update else chain(old, fresh)
        entry = _write_next_segment(folder, manifest, both, progress)
        segments = [manifest.segments[s] for s in kept]
        if replaced:
            segments = delete_from_segments(folder, manifest, segments, replaced)
        names = (*manifest.corpus, *(c for c in corpus if c not in manifest.corpus))
        _commit_manifest(folder, manifest.successor((*segments, entry), names))
    return Index.open(folder)


def delete_patients(folder: Path | str, patient_ids: Sequence[str]) -> Index:
    """Deletes patients in one commit and opens the new state. Raises NotFoundError."""
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        index = Index.open(folder)
        for patient_id in patient_ids:
            if patient_id not in index:
                raise NotFoundError(f"no patient {shown_id(patient_id)} in this index")
        segments = delete_from_segments(folder, manifest, manifest.segments, patient_ids)
        _commit_manifest(folder, manifest.successor(tuple(segments), manifest.corpus))
    return Index.open(folder)


def compact_index(folder: Path | str, *, progress: Progress | None = None) -> Index:
    """Rewrites all live notes as one segment; frees what deletions left."""
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        everyone = range(len(manifest.segments))
        patients = _read_patients(folder, manifest, everyone)
        segments = (
            (_write_next_segment(folder, manifest, patients, progress),) if manifest.notes else ()
        )
        _commit_manifest(folder, manifest.successor(segments, manifest.corpus))
    return Index.open(folder)


@contextmanager
def _locked_manifest(folder: Path) -> Iterator[Manifest]:
    """The state to change, under the writer's lock."""
    read_manifest(folder)
    with writer_lock(folder), _clean_folder(folder):
        yield read_manifest(folder)


@contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise IndexFolderError(
            f"{folder}: writing failed ({reason}); the index is as it was",
            hint="free some space or choose another folder, then run the command again",
        ) from None


def _build_new(
    folder: Path, manifest: Manifest, patients: Iterable[Patient], progress: Progress | None
) -> None:
    with temporary_build_folder(folder) as aside:
        entry = _require_tokens(_write_next_segment(aside, manifest, patients, progress))
        write_manifest(aside, manifest.successor((entry,), manifest.corpus))
        sync_folder(aside)
        aside.chmod(0o755)
        aside.rename(folder)
        sync_commit(folder, folder.parent)


def _rebuild(
    folder: Path, manifest: Manifest, patients: Iterable[Patient], progress: Progress | None
) -> None:
    """A new generation in place: readers of the old state keep their files."""
    with writer_lock(folder), _clean_folder(folder):
        manifest = replace(manifest, generation=_last_generation(folder))
        entry = _require_tokens(_write_next_segment(folder, manifest, patients, progress))
        _commit_manifest(folder, manifest.successor((entry,), manifest.corpus))


def _require_tokens(entry: SegmentEntry) -> SegmentEntry:
    """An index nobody can search is a mistake; notes without words beside others are not."""
    if not entry.live_tokens:
        raise InputError(
            "no note holds a word to index", hint="check the text field and the stop list"
        )
    return entry


def _last_generation(folder: Path) -> int:
    """The generation of the committed state, or of its files where the manifest is damaged."""
    try:
        return read_manifest(folder).generation
    except IndexFolderError:
        names = " ".join(path.name for path in folder.glob("*.pdx"))
        return max(map(int, re.findall(r"(?:segment|deletions)-(\d+)", names)), default=0)


def _write_next_segment(
    folder: Path, manifest: Manifest, patients: Iterable[Patient], progress: Progress | None
) -> SegmentEntry:
    path = folder / f"segment-{manifest.generation + 1:06d}.pdx"
    return write_segment(path, patients, manifest.analysis, manifest.layout, progress)


def _commit_manifest(folder: Path, manifest: Manifest) -> None:
    sync_folder(folder)
    write_manifest(folder, manifest)
    sync_commit(folder, folder)
    with suppress(OSError):  # the next writer tries again
        _remove_leftovers(folder)


@contextmanager
def _clean_folder(folder: Path) -> Iterator[None]:
    """Removes what a writer that was killed left behind, and what this one leaves if it fails."""
    _remove_leftovers(folder)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            _remove_leftovers(folder)
        raise


def _remove_leftovers(folder: Path) -> None:
    """Removes what the committed state does not use; nothing where that cannot be read."""
    try:
        keep = read_manifest(folder).files
    except IndexFolderError:
        return
    for path in folder.iterdir():
        if path.name.startswith(".runs-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in keep and path.suffix in LEFTOVERS:
            path.unlink(missing_ok=True)


def _check_ids(
    patients: Iterable[Patient], index: Index, replaced: list[str], *, update: bool
) -> Iterator[Patient]:
    for patient in patients:
        if patient.patient_id in index:
            if not update:
                raise InputError(
                    f"patient `{patient.patient_id}` is in the index already",
                    hint="index add --update puts the new note in place of the old one",
                )
            replaced.append(patient.patient_id)
        yield patient


def _skip_replaced(patients: Iterable[Patient], replaced: Sequence[str]) -> Iterator[Patient]:
    """`patients` without those replaced, as known when the first one is asked for."""
    gone = set(replaced)
    for patient in patients:
        if patient.patient_id not in gone:
            yield patient


def _read_patients(folder: Path, manifest: Manifest, chosen: Iterable[int]) -> Iterator[Patient]:
    entries = tuple(manifest.segments[s] for s in chosen)
    segments = [Segment(folder, entry, manifest.layout) for entry in entries]
    yield from Index(replace(manifest, segments=entries), segments).patients()
