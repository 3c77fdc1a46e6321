"""`Index` implements the protocol that commands and workflows use."""

from pathlib import Path

import pytest

from indexer.index import Index
from indexer.writer import build_index
from patientdx.errors import InputError, NotFoundError
from patientdx.protocols import CorpusView, PatientIndex, RankingSearcher
from patientdx.records import Filter, Patient, Query, ranked

PATIENTS = [
    Patient("1-1", "fever and cough", title="Fever", metadata={"PMID": "1"}),
    Patient("1-2", "cough at night", metadata={"PMID": "1"}),
    Patient("2-1", "fever, cough and a rash", metadata={"PMID": "2"}),
]


@pytest.fixture
def index(tmp_path: Path) -> PatientIndex:
    built: Index = build_index(tmp_path / "index", PATIENTS, corpus=("three",))
    implemented: PatientIndex = built  # mypy checks every signature here
    return implemented


def test_the_index_implements_the_protocols(index: PatientIndex) -> None:
    assert isinstance(index, PatientIndex)
    assert isinstance(index, RankingSearcher)
    assert isinstance(index, CorpusView)


def test_an_incomplete_engine_does_not() -> None:
    class SearcherOnly:
        def search_many(self) -> None: ...

    assert not isinstance(SearcherOnly(), PatientIndex)


def test_hits_ranks_and_explanations_agree(index: PatientIndex) -> None:
    query = Query("q", "fever cough", weights={"rash": 0.5})
    (hits,) = index.search_many([query], k=10)
    assert hits == ranked(hits)
    ids = [hit.doc_id for hit in hits]
    assert index.ranks_many([query], [ids]) == [[1, 2, 3]]
    for hit in hits:
        explanation = index.explain(query, hit.doc_id)
        assert (explanation.doc_id, explanation.score) == (hit.doc_id, hit.score)
        words = {term for _, _, term in index.spans(index.text(hit.doc_id))}
        assert {share.term for share in explanation.shares} <= words


def test_bm25_parameters_are_replaced(index: PatientIndex) -> None:
    assert (index.bm25.k1, index.bm25.b) == (0.9, 0.4)
    changed = index.with_bm25(b=0.0).with_bm25(k1=2.0)
    assert (changed.bm25.k1, changed.bm25.b) == (2.0, 0.0)
    assert changed.digest == index.digest
    with pytest.raises(InputError):
        index.with_bm25(b=2.0)


def test_patients_and_filters(index: PatientIndex) -> None:
    assert list(index.patients()) == PATIENTS
    assert index.size == len(PATIENTS)
    assert index.patient("2-1") == PATIENTS[2]
    with pytest.raises(NotFoundError):
        index.patient("3-1")
    women = Filter(sex="F")
    excluded = index.exclusion_filter("1-1", women)
    assert excluded == Filter(sex="F", exclude_ids=frozenset({"1-1"}))
    others = index.exclusion_filter("1-1", other_articles=True)
    assert [hit.doc_id for hit in index.search_many([Query("q", "cough")], 10, others)[0]] == [
        "2-1"
    ]


def test_the_description_has_the_keys_of_the_protocol(index: PatientIndex) -> None:
    facts = index.describe()
    keys = {"patients", "corpus", "stop_words", "stemmer", "bm25", "digest", "software"}
    assert keys <= set(facts)
    assert (facts["patients"], facts["corpus"], facts["digest"]) == (3, ["three"], index.digest)
