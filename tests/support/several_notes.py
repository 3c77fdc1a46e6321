"""Random indexes of patients with several notes, changed at random, and brute force over them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from corpora import Case, World, analyses, layouts, notes, patient
from hypothesis import strategies as st
from oracle import to_float32

from indexer.writer import (
    add_patients,
    build_index,
    compact_index,
    delete_notes,
    delete_patients,
)
from patientdx.records import Patient

PATIENT_IDS = ("1", "10", "2", "a-1", "a-2", "é", "日", "note-3")
NOTE_IDS = (*(f"note-{i}" for i in range(30)), "1", "a-1", "𝒳", "10")
DATES = ("", "", "2180-05-06", "2180-05-06T10:00:00", "2181")


notes_cases = st.builds(
    Case,
    pool=st.lists(notes, min_size=1, max_size=12),
    size=st.integers(1, 24),
    changes=st.lists(
        st.sampled_from(["add", "add", "delete patient", "delete note", "update", "compact"]),
        max_size=5,
    ),
    analysis=analyses,
    layout=layouts,
    rnd=st.randoms(use_true_random=True),
)


def pooled(
    ranking: Sequence[tuple[str, float]], live: Mapping[str, Patient], best: int
) -> list[tuple[str, float]]:
    """The patients of a ranking of notes, scored by the sum of their best notes, best first."""
    scores: dict[str, list[float]] = {}
    for note_id, score in ranking:
        scores.setdefault(live[note_id].patient_id, []).append(score)
    hits = []
    for patient_id, own in scores.items():
        total = 0.0
        for score in sorted(own, reverse=True)[:best]:
            total += score
        hits.append((patient_id, to_float32(total)))
    return sorted(hits, key=lambda hit: (hit[1], hit[0].encode()), reverse=True)


@contextmanager
def make_notes_world(case: Case) -> Iterator[World]:
    """The index of a case after its changes; `live` holds its notes by their own ids."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "index", case.analysis)
        first = replace(patient("first", "Quaternary", case.rnd), date="2180-01-02")
        rest = _fresh_notes(world, case, case.size)
        build_index(world.folder, [first, *rest], analysis=case.analysis, layout=case.layout)
        world.live = {note.document_id: note for note in [first, *rest]}
        for change in case.changes:
            _CHANGES[change](world, case)
        yield world


def _fresh_notes(world: World, case: Case, count: int) -> list[Patient]:
    """Notes whose ids are free, half of them without an id of their own."""
    taken, known = set(world.live), {note.patient_id for note in world.live.values()}
    fresh = []
    for _ in range(count):
        patient_id = case.rnd.choice(PATIENT_IDS)
        note_id = case.rnd.choice(["", *NOTE_IDS])
        own = note_id or patient_id
        if own in taken or (not note_id and patient_id in known):
            continue
        taken.add(own)
        made = patient(patient_id, case.rnd.choice(case.pool), case.rnd)
        fresh.append(replace(made, note_id=note_id, date=case.rnd.choice(DATES)))
    return fresh


def _add(world: World, case: Case) -> None:
    fresh = _fresh_notes(world, case, case.rnd.randint(1, 6))
    if fresh:
        add_patients(world.folder, fresh)
        world.live.update({note.document_id: note for note in fresh})


def _update(world: World, case: Case) -> None:
    gone = {case.rnd.choice(PATIENT_IDS)}
    rest = {i: note for i, note in world.live.items() if note.patient_id not in gone}
    remaining = World(world.folder, world.analysis, rest)
    fresh = [note for note in _fresh_notes(remaining, case, 12) if note.patient_id in gone]
    if not fresh:
        return
    add_patients(world.folder, fresh, update=True)
    replaced = {note.patient_id for note in fresh}
    world.live = {i: note for i, note in world.live.items() if note.patient_id not in replaced}
    world.live.update({note.document_id: note for note in fresh})


def _delete_patient(world: World, case: Case) -> None:
    known = sorted({note.patient_id for note in world.live.values()})
    if known:
        gone = case.rnd.choice(known)
        delete_patients(world.folder, [gone])
        world.live = {i: note for i, note in world.live.items() if note.patient_id != gone}


def _delete_note(world: World, case: Case) -> None:
    if world.live:
        gone = case.rnd.choice(sorted(world.live))
        delete_notes(world.folder, [gone])
        del world.live[gone]


def _compact(world: World, case: Case) -> None:
    if world.has_words or not world.live:
        compact_index(world.folder)


_CHANGES = {
    "add": _add,
    "update": _update,
    "delete patient": _delete_patient,
    "delete note": _delete_note,
    "compact": _compact,
}
