"""Patients with several notes: pooled searches, ranks and counts equal brute force."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from corpora import EXAMPLES, Case, World, bm25s, fields_are_known, filters, queries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from several_notes import PATIENT_IDS, make_notes_world, notes_cases, pooled

from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.scoring.scorer import Engine
from indexer.verify import verify_index
from indexer.writer import add_patients, build_index, compact_index, delete_notes, delete_patients
from patientdx.errors import InputError, NotFoundError
from patientdx.records import Filter, Patient, Query

many_examples = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ENGINES: list[Engine] = ["numpy", "compiled"]
POOLS = {"max": 1, "sum:1": 1, "sum:2": 2, "sum:3": 3, "sum:100": 100}
patient_filters = st.one_of(
    filters,
    st.builds(
        lambda where, ids: replace(where or Filter(), exclude_ids=ids),
        filters,
        st.frozensets(st.sampled_from([*PATIENT_IDS, "first", "unknown"]), max_size=4),
    ),
)


def opened(world: World, bm25: BM25Settings, where: Filter | None) -> Iterator[Index]:
    """The index by each engine, unless the filter names a field that no note has."""
    for engine in ENGINES:
        index = Index.open(world.folder, bm25=bm25, engine=engine)
        if fields_are_known(index, where):
            yield index


@many_examples
@given(
    case=notes_cases,
    batch=st.lists(queries, min_size=1, max_size=3),
    k=st.sampled_from([1, 2, 3, 10, 100]),
    where=patient_filters,
    bm25=bm25s,
    pool=st.sampled_from(sorted(POOLS)),
)
def test_patients_and_notes_rank_as_by_brute_force(
    case: Case,
    batch: list[Query],
    k: int,
    where: Filter | None,
    bm25: BM25Settings,
    pool: str,
) -> None:
    with make_notes_world(case) as world:
        notes = [world.oracle(bm25).ranking(query, where) for query in batch]
        patients = [pooled(ranking, world.live, POOLS[pool]) for ranking in notes]
        for index in opened(world, bm25, where):
            by_patient, by_note = index.with_unit(pool=pool), index.with_unit("note")
            assert by_patient.search_many(batch, k, where) == [hits[:k] for hits in patients]
            assert by_note.search_many(batch, k, where) == [hits[:k] for hits in notes]
            for searcher, rankings, ids in (
                (by_patient, patients, [*PATIENT_IDS, "first", "unknown"]),
                (by_note, notes, [*world.live, "unknown"]),
            ):
                places = [{i: n for n, (i, _) in enumerate(hits, start=1)} for hits in rankings]
                ranks = searcher.ranks_many(batch, [ids] * len(batch), [where] * len(batch))
                assert ranks == [[place.get(i) for i in ids] for place in places]


@many_examples
@given(case=notes_cases, query=queries, where=patient_filters, bm25=bm25s)
def test_the_notes_behind_a_hit_are_those_that_match(
    case: Case, query: Query, where: Filter | None, bm25: BM25Settings
) -> None:
    with make_notes_world(case) as world:
        ranking = world.oracle(bm25).ranking(query, where)
        for index in opened(world, bm25, where):
            ids = [hit.doc_id for hit in index.search_many([query], 100, where)[0]]
            for patient_id, matches in zip(ids, index.match_notes(query, ids, where), strict=True):
                own = [i for i, _ in ranking if world.live[i].patient_id == patient_id]
                dates = {world.live[i].date for i in own} - {""}
                assert matches == (patient_id, own[0], len(own), tuple(sorted(dates)))


@settings(parent=many_examples, max_examples=max(20, EXAMPLES // 4))
@given(case=notes_cases, query=queries)
def test_the_index_holds_every_note_and_patient(case: Case, query: Query) -> None:
    with make_notes_world(case) as world:
        index = Index.open(world.folder)
        by_note = index.with_unit("note")
        assert {note.document_id: note for note in index.patients()} == world.live
        owners = {note.patient_id for note in world.live.values()}
        facts = index.describe()
        assert (facts["patients"], facts["notes"]) == (len(owners), len(world.live))
        assert (index.patient_count, index.size) == (len(owners), len(world.live))
        assert {i for i in (*PATIENT_IDS, "first", "unknown") if i in index} == owners
        counts = world.oracle(index.bm25).counts
        for note_id, note in world.live.items():
            assert by_note.patient(note_id) == index.note(note_id) == note
            assert by_note.term_vector(note_id) == counts[note_id]
            assert note in index.notes(note.patient_id)
        for patient_id in owners:
            own = [i for i, note in world.live.items() if note.patient_id == patient_id]
            assert {note.document_id for note in index.notes(patient_id)} == set(own)
            summed = sum((counts[i] for i in own), start=type(counts[own[0]])())
            assert index.term_vector(patient_id) == summed
        assert not verify_index(world.folder)[1]


@settings(parent=many_examples, max_examples=max(20, EXAMPLES // 4))
@given(case=notes_cases, bm25=bm25s, k=st.sampled_from([1, 3, 100]))
def test_similar_patients_are_found_by_all_notes_and_are_others(
    case: Case, bm25: BM25Settings, k: int
) -> None:
    with make_notes_world(case) as world:
        for index in opened(world, bm25, None):
            for patient_id in {note.patient_id for note in world.live.values()}:
                own = [n for n in world.live.values() if n.patient_id == patient_id]
                query = Query("q", "\n".join(note.full_text for note in own))
                others = Filter(exclude_ids=frozenset({patient_id}))
                ranking = world.oracle(bm25).ranking(query, others)
                assert index.similar(patient_id, k) == pooled(ranking, world.live, 1)[:k]


NOTES = [
    Patient("7", "ascites and jaundice", note_id="7-1", date="2180-05-06"),
    Patient("8", "jaundice", note_id="8-1"),
    Patient("7", "jaundice, ascites, ascites", note_id="7-2", date="2180-07-01"),
    Patient("9", "cough"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(tmp_path / "index", NOTES)
    return tmp_path / "index"


def test_an_index_of_one_note_a_patient_stores_no_patients(tmp_path: Path) -> None:
    plain = [Patient("b", "fever"), Patient("a", "cough"), Patient("c", "rash", note_id="c")]
    index = build_index(tmp_path / "plain", plain)
    names = set(index.manifest.segments[0].file.sections)
    assert not names & {"patient_ids", "patient_id_offsets", "note_patients"}


def test_a_further_note_of_a_known_patient_is_added(folder: Path) -> None:
    index = add_patients(folder, [Patient("9", "fever", note_id="9-2")])
    assert (index.patient_count, index.size) == (3, 5)
    assert [hit.doc_id for hit in index.search("fever")] == ["9"]
    assert compact_index(folder).notes("9") == [NOTES[3], Patient("9", "fever", note_id="9-2")]


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        (Patient("7", "rash", note_id="7-1"), "note `7-1` is in the index already"),
        (Patient("new", "rash", note_id="9"), "note `9` is in the index already"),
        (Patient("7", "rash"), "patient `7` is in the index already"),
        (Patient("9", "rash"), "patient `9` is in the index already"),
    ],
)
def test_a_known_note_is_refused(folder: Path, patient: Patient, message: str) -> None:
    before = Index.open(folder).digest
    with pytest.raises(InputError, match=message):
        add_patients(folder, [patient])
    assert Index.open(folder).digest == before


def test_two_new_notes_of_one_id_are_refused(folder: Path) -> None:
    twice = [Patient("x", "rash", note_id="n"), Patient("y", "rash", note_id="n")]
    with pytest.raises(InputError, match="duplicate note id `n`"):
        add_patients(folder, twice)


def test_an_update_replaces_all_notes_of_a_patient(folder: Path) -> None:
    index = add_patients(folder, [Patient("7", "rash", note_id="7-3")], update=True)
    assert [note.note_id for note in index.notes("7")] == ["7-3"]
    assert index.patient_count == 3
    assert [hit.doc_id for hit in index.search("ascites jaundice")] == ["8"]


def test_an_update_does_not_take_the_note_of_another_patient(folder: Path) -> None:
    with pytest.raises(InputError, match="a note of another patient"):
        add_patients(folder, [Patient("9", "rash", note_id="7-1")], update=True)
    moved = [Patient("9", "rash", note_id="7-1"), Patient("7", "rash", note_id="7-9")]
    index = add_patients(folder, moved, update=True)
    assert index.note("7-1").patient_id == "9"
    assert [note.note_id for note in index.notes("7")] == ["7-9"]


def test_a_patient_or_a_note_is_deleted(folder: Path) -> None:
    index = delete_notes(folder, ["7-1"])
    assert [note.note_id for note in index.notes("7")] == ["7-2"]
    index = delete_patients(folder, ["7"])
    assert (index.patient_count, index.size) == (2, 2)
    with pytest.raises(NotFoundError, match="no patient `7`"):
        index.notes("7")
    with pytest.raises(NotFoundError, match="no note `9-9`"):
        delete_notes(folder, ["9-9"])
    with pytest.raises(NotFoundError, match="no patient `8-1`"):
        delete_patients(folder, ["8-1"])


def test_other_articles_are_named_by_the_notes_of_a_patient(tmp_path: Path) -> None:
    notes = [
        Patient("1", "ascites", note_id="a", metadata={"PMID": "5"}),
        Patient("1", "ascites", note_id="b", metadata={"PMID": "6"}),
        Patient("2", "ascites", note_id="c", metadata={"PMID": "6"}),
        Patient("3", "ascites", note_id="d", metadata={"PMID": "7"}),
    ]
    index = build_index(tmp_path / "articles", notes)
    assert [hit.doc_id for hit in index.similar("1", other_articles=True)] == ["3"]


def test_a_patient_without_an_article_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="patient `7` names no article"):
        Index.open(folder).similar("7", other_articles=True)


@pytest.mark.parametrize("pool", ["", "sum", "sum:0", "sum:-1", "mean", "sum:1.5", "max:2"])
def test_an_unknown_way_to_pool_is_refused(folder: Path, pool: str) -> None:
    with pytest.raises(InputError, match="no way to score a patient"):
        Index.open(folder).with_unit(pool=pool or " ")
