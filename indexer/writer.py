"""Building and changing an index: build, add, delete, compact. Each is one atomic commit.

A build writes to a temporary folder beside the target and renames it. Changes to an existing
index write files under new names, then replace the manifest, then remove the files that are no
longer used. A process that is killed leaves either the old or the new state, plus perhaps some
files that the next writer removes.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from patientdx import __version__
from patientdx.errors import IndexFolderError, InputError, NotFoundError, describe_patient_id
from patientdx.records import Patient, Unit
from patientdx.storage.durable import sync_folder

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
    write_manifest,
)
from .storage.writer_lock import writer_lock

SOFTWARE = f"patientdx {__version__}"
Understood = Callable[[], Mapping[str, Any]]
"""What was understood of a source, once all of it is read."""


def build_index(  # noqa: PLR0913 (each of the settings has its own default)
    folder: Path | str,
    patients: Iterable[Patient],
    *,
    analysis: AnalysisSettings | None = None,
    bm25: BM25Settings | None = None,
    layout: Layout | None = None,
    corpus: Sequence[str] = (),
    replace_existing: bool = False,
    progress: Progress | None = None,
    understood: Understood | None = None,
) -> Index:
    """Builds an index of `patients` and opens it.

    `corpus` records the names of the sources, and `understood`, which is called when all patients
    are read, what was understood of them. Raises InputError if the folder exists and
    `replace_existing` is not set, IndexFolderError if it cannot be written.
    """
    folder = Path(folder)
    manifest = Manifest(
        analysis or AnalysisSettings(),
        bm25 or BM25Settings(),
        layout or Layout(),
        corpus=tuple(corpus),
        software=SOFTWARE,
    )
    patients = _require_patients(patients)
    with _write_errors(folder):
        if (folder / MANIFEST_NAME).exists():
            if not replace_existing:
                raise InputError(
                    f"`{folder}` holds an index already",
                    hint="index build --replace builds it anew, index add adds to it",
                )
            _rebuild(folder, manifest, patients, progress, understood)
        elif folder.exists() and any(folder.iterdir()):
            raise InputError(f"`{folder}` exists and is not an index", hint="name a new folder")
        else:
            _build_new(folder, manifest, patients, progress, understood)
    return Index.open(folder)


def add_patients(
    folder: Path | str,
    patients: Iterable[Patient],
    *,
    update: bool = False,
    corpus: Sequence[str] = (),
    progress: Progress | None = None,
    understood: Understood | None = None,
) -> Index:
    """Adds notes in a single commit and opens the new state.

    A patient of the index may get further notes, with ids of their own. The id of a note that is in
    the index raises InputError, unless `update` is set: then all old notes of each patient give way
    to the new ones. Small segments are merged into the new one to bound their number.
    """
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        index = Index.open(folder)
        replaced: set[str] = set()
        check = partial(_note_replaced, replaced=replaced) if update else _refuse_known_ids
        new = check(_require_patients(patients), index.with_unit("note"), index)
        unchanged, merged = choose_segments_to_merge(manifest)
        old = _read_patients(folder, manifest, merged)
        # In an update the new notes come first: which old ones they replace must be known.
        notes = chain(new, _skip_replaced(old, replaced)) if update else chain(old, new)
        entry = _write_next_segment(folder, manifest, notes, progress)
        segments = [manifest.segments[s] for s in unchanged]
        if replaced:
            segments = delete_from_segments(folder, manifest, segments, sorted(replaced))
        names = (*manifest.corpus, *(c for c in corpus if c not in manifest.corpus))
        state = manifest.successor((*segments, entry), names, _called(understood))
        _commit_manifest(folder, state)
    return Index.open(folder)


def delete_patients(folder: Path | str, patient_ids: Sequence[str]) -> Index:
    """Deletes patients with all their notes, in a single commit, and opens the new state.

    Raises NotFoundError for an unknown id.
    """
    return delete_from_index(folder, patient_ids=patient_ids)


def delete_notes(folder: Path | str, note_ids: Sequence[str]) -> Index:
    """Deletes single notes in a single commit and opens the new state. Raises NotFoundError."""
    return delete_from_index(folder, note_ids=note_ids)


def delete_from_index(
    folder: Path | str, patient_ids: Sequence[str] = (), note_ids: Sequence[str] = ()
) -> Index:
    """Deletes patients and single notes in a single commit and opens the new state."""
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        index = Index.open(folder)
        _require_ids(index, "patient", patient_ids)
        _require_ids(index, "note", note_ids)
        segments = delete_from_segments(folder, manifest, manifest.segments, patient_ids, note_ids)
        _commit_manifest(folder, manifest.successor(tuple(segments), manifest.corpus))
    return Index.open(folder)


def _require_ids(index: Index, unit: Unit, ids: Sequence[str]) -> None:
    known = index.with_unit(unit)
    for own in ids:
        if own not in known:
            raise NotFoundError(f"no {unit} {describe_patient_id(own)} in this index")


def compact_index(folder: Path | str, *, progress: Progress | None = None) -> Index:
    """Rewrites all live notes as a single segment, which frees the space of deleted ones."""
    folder = Path(folder)
    with _write_errors(folder), _locked_manifest(folder) as manifest:
        patients = _read_patients(folder, manifest, range(len(manifest.segments)))
        segments = (
            (_write_next_segment(folder, manifest, patients, progress),) if manifest.notes else ()
        )
        _commit_manifest(folder, manifest.successor(segments, manifest.corpus))
    return Index.open(folder)


def _require_patients(patients: Iterable[Patient]) -> Iterator[Patient]:
    """The patients. Raises InputError for rows that were not made into patients."""
    for patient in patients:
        if not isinstance(patient, Patient):
            raise InputError(
                f"an index is built of `Patient` objects, not of {type(patient).__name__}",
                hint="Patient('1', 'fever') for a patient and a note, read_patients for a file",
            )
        yield patient


@contextmanager
def _locked_manifest(folder: Path) -> Iterator[Manifest]:
    """Holds the writer lock; yields the current state."""
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
    folder: Path,
    manifest: Manifest,
    patients: Iterable[Patient],
    progress: Progress | None,
    understood: Understood | None,
) -> None:
    with temporary_build_folder(folder) as temporary:
        entry = _require_tokens(_write_next_segment(temporary, manifest, patients, progress))
        write_manifest(
            temporary, manifest.successor((entry,), manifest.corpus, _called(understood))
        )
        sync_folder(temporary, required=True)
        temporary.chmod(0o755)
        temporary.rename(folder)
        sync_commit(folder, folder.parent)


def _rebuild(
    folder: Path,
    manifest: Manifest,
    patients: Iterable[Patient],
    progress: Progress | None,
    understood: Understood | None,
) -> None:
    """Writes a new generation in place; readers of the old state keep their files open."""
    with writer_lock(folder), _clean_folder(folder):
        manifest = replace(manifest, generation=_last_generation(folder))
        entry = _require_tokens(_write_next_segment(folder, manifest, patients, progress))
        _commit_manifest(folder, manifest.successor((entry,), manifest.corpus, _called(understood)))


def _called(understood: Understood | None) -> Mapping[str, Any] | None:
    return None if understood is None else understood()


def _require_tokens(entry: SegmentEntry) -> SegmentEntry:
    """The entry, if any of its notes has a token. Raises InputError otherwise.

    Single notes without tokens are allowed; an index that matches no query is a mistake.
    """
    if not entry.live_tokens:
        raise InputError(
            "no note holds a word to index", hint="check the text field and the stop list"
        )
    return entry


def _last_generation(folder: Path) -> int:
    """The generation of the committed state or, if the manifest is damaged, of the newest file."""
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
    sync_folder(folder, required=True)
    write_manifest(folder, manifest)
    sync_commit(folder, folder)
    with suppress(OSError):  # the next writer tries again
        _remove_leftovers(folder)


@contextmanager
def _clean_folder(folder: Path) -> Iterator[None]:
    """Removes the leftovers of killed writers and, if the block fails, those of this one."""
    _remove_leftovers(folder)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            _remove_leftovers(folder)
        raise


def _remove_leftovers(folder: Path) -> None:
    """Removes files that the committed state does not use, provided that it can be read."""
    try:
        keep = read_manifest(folder).files
    except IndexFolderError:
        return
    for path in folder.iterdir():
        if path.name.startswith(".runs-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in keep and path.suffix in LEFTOVERS:
            path.unlink(missing_ok=True)


def _refuse_known_ids(patients: Iterable[Patient], notes: Index, known: Index) -> Iterator[Patient]:
    """`patients`, each a new patient or a further note. Raises InputError for any other.

    `notes` and `known` are the index by note and by patient.
    """
    for patient in patients:
        if patient.note_id and patient.note_id in notes:
            raise InputError(
                f"note `{patient.note_id}` is in the index already",
                hint="index add --update replaces all notes of a patient with the new ones",
            )
        if not patient.note_id and (patient.patient_id in known or patient.patient_id in notes):
            raise InputError(
                f"patient `{patient.patient_id}` is in the index already",
                hint="index add --update replaces the old note with the new one; a further note "
                "needs an id of its own",
            )
        yield patient


def _note_replaced(
    patients: Iterable[Patient], notes: Index, known: Index, replaced: set[str]
) -> Iterator[Patient]:
    """`patients`; adds those that the index has to `replaced`, which is complete at the end.

    Raises InputError if the id of a new note is that of a note that stays.
    """
    taken: dict[str, str] = {}
    for patient in patients:
        if patient.patient_id in known:
            replaced.add(patient.patient_id)
        if patient.document_id in notes:
            taken[patient.document_id] = notes.note(patient.document_id).patient_id
        yield patient
    for note_id, owner in taken.items():
        if owner not in replaced:
            raise InputError(
                f"note `{note_id}` is in the index already, as a note of another patient",
                hint="delete the old note first: index delete --note ID",
            )


def _skip_replaced(patients: Iterable[Patient], replaced: set[str]) -> Iterator[Patient]:
    """`patients` without those in `replaced`, which must be complete by the first iteration."""
    for patient in patients:
        if patient.patient_id not in replaced:
            yield patient


def _read_patients(folder: Path, manifest: Manifest, chosen: Iterable[int]) -> Iterator[Patient]:
    entries = tuple(manifest.segments[s] for s in chosen)
    segments = [Segment(folder, entry, manifest.layout) for entry in entries]
    yield from Index(replace(manifest, segments=entries), segments).patients()
