"""Searches that leave out notes which only deny what was searched."""

from pathlib import Path

import pytest

from indexer.index import Index
from indexer.writer import build_index
from patientdx.assertions import find_assertions
from patientdx.records import Filter, Patient, Query
from workflows.affirmed import AffirmedSearcher, match_affirmed
from workflows.searching import search_patients, similar_patients

TEXTS = (
    "She had fever.",
    "She denies fever and chills.",
    "Family History:\nmother: fever",
    "A history of fever. Now cough.",
    "No fever in the morning, but fever and chills at night.",
    "Return if fever.",
    "Cough and rash.",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """140 notes of 50 patients, each text twenty times."""
    folder = tmp_path_factory.mktemp("affirmed") / "index"
    notes = [
        Patient(
            f"p{number % 50}",
            TEXTS[number % 7] + f" Case {number}.",
            note_id=f"n{number}",
            date=f"2180-01-{number % 28 + 1:02}",
        )
        for number in range(140)
    ]
    build_index(folder, notes)
    return Index.open(folder)


def affirms(text: str, word: str) -> bool:
    """Whether a text has an affirmed mention of a word, by its places."""
    lowered = text.lower()
    places = [i for i in range(len(text)) if lowered.startswith(word, i)]
    return find_assertions(text).is_affirmed(places)


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("by", ["note", "patient"])
def test_hits_are_those_of_the_ranking_with_an_affirmed_note(index: Index, by: str, k: int) -> None:
    unit = index.with_unit("note" if by == "note" else "patient")
    query = Query("q", "fever")
    affirmed = {
        note.document_id if by == "note" else note.patient_id
        for note in index.patients()
        if affirms(note.text, "fever")
    }
    expected = [hit for hit in unit.search_many([query], 1000)[0] if hit.doc_id in affirmed][:k]
    assert AffirmedSearcher(unit, unit).search_many([query], k) == [expected]


def test_the_best_affirmed_note_is_shown(index: Index) -> None:
    result = search_patients(index, "fever", 1000, affirmed_only=True)
    assert result.hits
    for hit in result.hits:
        matches = result.matches[hit.doc_id]
        affirmed = [n for n in index.notes(hit.doc_id) if affirms(n.text, "fever")]
        assert matches.notes_matched == len(affirmed)
        assert matches.note_id in {note.document_id for note in affirmed}
        assert matches.dates == tuple(sorted({note.date for note in affirmed}))
        scores = {
            explained.doc_id: explained.score
            for explained in index.with_unit("note").explain_many(
                Query("q", "fever"), [note.document_id for note in affirmed]
            )
        }
        assert scores[matches.note_id] == max(scores.values())


def test_only_notes_that_pass_the_filter_affirm(tmp_path: Path) -> None:
    notes = [
        Patient("p", "She has fever.", note_id="old", metadata={"ward": "ICU"}),
        Patient("p", "She denies fever.", note_id="new", metadata={"ward": "HDU"}),
    ]
    build_index(tmp_path / "i", notes)
    index, query = Index.open(tmp_path / "i"), Query("q", "fever")
    in_icu, in_hdu = (Filter(where=(("ward", ward),)) for ward in ("ICU", "HDU"))
    assert match_affirmed(index, query, ["p"], in_icu)["p"].note_id == "old"
    assert match_affirmed(index, query, ["p"], in_hdu) == {}
    assert AffirmedSearcher(index, index).search_many([query], 5, in_hdu) == [[]]
    assert match_affirmed(index.with_unit("note"), query, ["new", "old"], None).keys() == {"old"}


def test_labels_of_passages_and_of_terms(index: Index) -> None:
    by_note = index.with_unit("note")
    result = search_patients(by_note, "fever chills", 140)
    hits = {hit["text"].split(" Case")[0]: hit for hit in result.to_dict()["hits"]}
    (passage,) = hits["She denies fever and chills."]["passages"]
    assert set(passage["assertions"]) == {("negated",)}
    assert len(passage["assertions"]) == len(passage["matches"]) > 0
    both = hits["No fever in the morning, but fever and chills at night."]
    labels = {share["term"]: dict(share["assertions"]) for share in both["explanation"]}
    assert labels == {"fever": {"negated": 1}, "chill": {}}


def test_similar_patients_and_expansions_are_filtered_too(index: Index) -> None:
    owner = next(n.patient_id for n in index.patients() if n.text.startswith("She had fever"))
    plain = similar_patients(index, owner, 1000)
    affirmed = similar_patients(index, owner, 1000, affirmed_only=True)
    assert owner not in {hit.doc_id for hit in affirmed.hits}
    assert {hit.doc_id for hit in affirmed.hits} <= {hit.doc_id for hit in plain.hits}
    expanded = search_patients(index, "fever", 5, system="rm3", affirmed_only=True)
    for hit in expanded.hits:
        assert any(affirms(note.text, "fever") for note in index.notes(hit.doc_id))


def test_no_hit_is_left_where_nothing_is_affirmed(tmp_path: Path) -> None:
    build_index(tmp_path / "i", [Patient(f"p{n}", "No fever.") for n in range(30)])
    assert search_patients(Index.open(tmp_path / "i"), "fever", 3, affirmed_only=True).hits == []
