"""Changes to an index: what they do, what they leave alone, and who may make them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from corpora import EXAMPLES, Case, cases, make_world, queries
from hypothesis import given, settings
from small_index import QUERIES, TINY, check_index, leftovers, notes

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.scoring.scorer import Engine
from indexer.segments.merge_policy import MAX_SEGMENTS
from indexer.storage.manifest import MANIFEST_NAME as MANIFEST
from indexer.storage.writer_lock import writer_lock
from indexer.writer import add_patients, build_index, compact_index, delete_patients
from patientdx.errors import IndexFolderError, NotFoundError
from patientdx.records import Patient, Query


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(tmp_path / "index", notes(0, 30), layout=TINY)
    return tmp_path / "index"


def test_build_opens_what_it_built(tmp_path: Path) -> None:
    index = build_index(tmp_path / "deep" / "index", notes(0, 30), layout=TINY, corpus=["x.jsonl"])
    assert index.describe()["corpus"] == ["x.jsonl"]
    assert index.describe()["patients"] == 30
    check_index(tmp_path / "deep" / "index", notes(0, 30))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]


def test_add_delete_update_compact(folder: Path) -> None:
    add_patients(folder, notes(100, 10), corpus=["more"])
    check_index(folder, notes(0, 30) + notes(100, 10))
    delete_patients(folder, ["p3", "p103", "p3"])
    left = [
        patient
        for patient in notes(0, 30) + notes(100, 10)
        if patient.patient_id not in {"p3", "p103"}
    ]
    check_index(folder, left)
    add_patients(
        folder, [Patient("p3", "w1 w1 w9"), Patient("p4", "w17")], update=True, corpus=["more"]
    )
    left = [patient for patient in left if patient.patient_id != "p4"]
    left += [Patient("p3", "w1 w1 w9"), Patient("p4", "w17")]
    check_index(folder, left)
    before = Index.open(folder).describe()
    assert before["segments"] == 3
    assert before["deleted"] == 3
    compact_index(folder)
    check_index(folder, left)
    after = Index.open(folder).describe()
    assert (after["segments"], after["deleted"]) == (1, 0)
    assert after["corpus"] == before["corpus"] == ["more"]
    assert after["generation"] == 5


def test_segments_are_folded(folder: Path) -> None:
    everyone = notes(0, 30)
    for i in range(25):
        fresh = notes(100 + 10 * i, 1 + i % 4)
        add_patients(folder, fresh)
        everyone += fresh
        assert len(Index.open(folder).manifest.segments) <= MAX_SEGMENTS
    check_index(folder, everyone)


@pytest.mark.parametrize("wanted", ["p0", "p100", "p160"])
def test_an_update_of_a_note_whose_segment_is_folded(folder: Path, wanted: str) -> None:
    everyone = {patient.patient_id: patient for patient in notes(0, 30)}
    for i in range(MAX_SEGMENTS - 1):
        fresh = notes(100 + 10 * i, 3)
        add_patients(folder, fresh)
        everyone |= {patient.patient_id: patient for patient in fresh}
    assert len(Index.open(folder).manifest.segments) == MAX_SEGMENTS
    changed = [Patient(wanted, "w0 w2"), Patient("fresh", "w1")]
    add_patients(folder, changed, update=True)
    assert len(Index.open(folder).manifest.segments) < MAX_SEGMENTS
    check_index(
        folder, list((everyone | {patient.patient_id: patient for patient in changed}).values())
    )


def test_all_deleted_and_begun_again(folder: Path) -> None:
    add_patients(folder, notes(50, 5))
    delete_patients(folder, [patient.patient_id for patient in notes(0, 30) + notes(50, 5)])
    check_index(folder, [])
    index = Index.open(folder)
    assert index.search("w1") == []
    assert index.ranks_many(QUERIES, [["p1"]] * 3) == [[None]] * 3
    assert "p1" not in index
    compact_index(folder)
    check_index(folder, [])
    add_patients(folder, notes(5, 20))
    check_index(folder, notes(5, 20))


def test_notes_without_words_are_kept_but_not_found(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    patients = [Patient("a", "w1"), Patient("b", ""), Patient("c", "the of ...")]
    build_index(folder, patients)
    check_index(folder, patients)
    delete_patients(folder, ["a"])
    check_index(folder, patients[1:])


def test_compacting_what_holds_no_word(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(folder, [Patient("a", "w1"), Patient("b", "")])
    delete_patients(folder, ["a"])
    compact_index(folder)
    check_index(folder, [Patient("b", "")])


@settings(max_examples=max(20, EXAMPLES // 4))
@given(case=cases, query=queries)
def test_a_changed_index_equals_a_fresh_one(case: Case, query: Query) -> None:
    with make_world(case) as world:
        if not world.has_words:
            return
        old = Index.open(world.folder)
        fresh_folder = world.folder.with_name("fresh")
        fresh = build_index(
            fresh_folder, old.patients(), analysis=case.analysis, layout=case.layout
        )
        assert fresh.average_length == old.average_length
        assert fresh.manifest.tokens == old.manifest.tokens
        for engine in ("numpy", "compiled"):
            grown = Index.open(world.folder, engine=engine)
            rebuilt = Index.open(fresh_folder, engine=engine)
            assert grown.search_many([query], 100) == rebuilt.search_many([query], 100)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_readers_go_on_seeing_their_own_state(folder: Path, engine: Engine) -> None:
    add_patients(folder, notes(60, 9))
    delete_patients(folder, ["p2", "p61"])

    def seen(index: Index) -> list[object]:
        return [
            *(index.search_many(QUERIES, 100), index.ranks_many(QUERIES, [["p5", "p62"]] * 3)),
            *(index.explain(QUERIES[0], "p62"), index.patient("p62"), list(index.patients())),
        ]

    untouched, used = (Index.open(folder, engine=engine) for _ in range(2))
    expected = seen(used)
    changes: list[Callable[[], object]] = [
        lambda: add_patients(folder, notes(80, 4)),
        lambda: delete_patients(folder, ["p5", "p62"]),
        lambda: add_patients(folder, [Patient("p6", "w0")], update=True),
        lambda: compact_index(folder),
        lambda: delete_patients(
            folder, [patient.patient_id for patient in Index.open(folder).patients()]
        ),
        lambda: build_index(folder, notes(60, 3), replace_existing=True),
    ]
    for change in changes:
        change()
        assert seen(used) == expected
    # Nor does a reader that reads for the first time only now.
    assert seen(untouched) == expected


def test_one_writer_at_a_time(folder: Path) -> None:
    with writer_lock(folder):
        writes: list[Callable[[], object]] = [
            lambda: add_patients(folder, notes(70, 3)),
            lambda: delete_patients(folder, ["p1"]),
            lambda: compact_index(folder),
            lambda: build_index(folder, notes(0, 3), replace_existing=True),
        ]
        for write in writes:
            with pytest.raises(IndexFolderError, match="another process is writing"):
                write()
        assert Index.open(folder).size == 30  # reading needs no lock
    check_index(folder, notes(0, 30))


def test_a_writer_within_a_writer(folder: Path) -> None:
    def patients() -> Iterator[Patient]:
        yield Patient("outer", "w1")
        with pytest.raises(IndexFolderError, match="another process is writing"):
            add_patients(folder, [Patient("inner", "w1")])

    add_patients(folder, patients())
    check_index(folder, [*notes(0, 30), Patient("outer", "w1")])


def test_replacing_an_index(folder: Path) -> None:
    add_patients(folder, notes(90, 3))
    settings_ = AnalysisSettings("none", "none")
    index = build_index(
        folder, notes(1, 3), analysis=settings_, bm25=BM25Settings(1.2, 0.75), replace_existing=True
    )
    assert index.manifest.analysis == settings_
    assert index.bm25 == BM25Settings(1.2, 0.75)
    assert {patient.patient_id for patient in index.patients()} == {"p1", "p2", "p3"}
    assert leftovers(folder) == set()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": "patientdx-index", "version": 9}'])
def test_replacing_an_index_that_cannot_be_read(folder: Path, damage: bytes) -> None:
    add_patients(folder, notes(90, 3))
    (folder / MANIFEST).write_bytes(damage)
    writes: list[Callable[[], object]] = [
        lambda: add_patients(folder, notes(0, 1)),
        lambda: compact_index(folder),
    ]
    for write in writes:
        with pytest.raises(IndexFolderError):
            write()
    # What the hint of the error says.
    build_index(folder, notes(0, 12), layout=TINY, replace_existing=True)
    check_index(folder, notes(0, 12))


def test_patients_come_back_as_they_were(tmp_path: Path) -> None:
    patients = [
        Patient(
            *("8535945-1", "Line one.\n\u2028Line 𝒳 \x00 \x85 two", "A title", 0.25, "F"),
            metadata={"a": 1, "b": [1, {"c": None}], "ü": 0.1, "n": None},
            derived=("age_years", "sex"),
        ),
        *[Patient(f"é{i}", f"text {i}", age_years=float(i)) for i in range(40)],
    ]
    index = build_index(tmp_path / "index", patients)
    assert list(index.patients()) == patients
    assert [index.patient(patient.patient_id) for patient in reversed(patients)] == patients[::-1]
    assert index.text("8535945-1") == patients[0].full_text
    with pytest.raises(NotFoundError):
        index.patient("8535945")
