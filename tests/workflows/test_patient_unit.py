"""Systems over patients with several notes: note scores pooled to patients before anything else."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest
from several_notes import pooled

from expander import PhraseSearcher, SystemSettings
from expander.strategies.rm3 import Rm3
from expander.strategies.rocchio import Rocchio
from expander.systems.system import parse_system
from indexer.index import Index
from indexer.writer import build_index
from patientdx.protocols import Searcher
from patientdx.records import Filter, Hit, Patient, Query
from workflows.patient_unit import PooledSearcher
from workflows.systems import SystemBuilder, open_resources

WORDS = ("fever", "cough", "rash", "gout", "ascites", "edema", "murmur", "anemia", "stroke")
QUERIES = [
    Query("q1", "fever and cough with a rash"),
    Query("q2", "gout edema"),
    Query("p3", "ascites stroke anemia fever"),
]
WHERE = Filter(sex="F", exclude_ids=frozenset({"p1"}))
POOLS = {"max": 1, "sum:2": 2}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    rnd = Random(7)
    notes = [
        Patient(
            f"p{rnd.randrange(14)}",
            " ".join(rnd.choices(WORDS, k=rnd.randint(2, 14))),
            sex=rnd.choice(["F", "M"]),
            note_id=f"n{number}",
        )
        for number in range(60)
    ]
    return build_index(tmp_path_factory.mktemp("notes") / "index", notes)


class FirstNotes:
    """The best note of each patient in a ranking of notes, with the patient's pooled score."""

    def __init__(self, index: Index, best: int) -> None:
        self._notes = index.with_unit("note")
        self._live = {note.note_id: note for note in index.patients()}
        self._best = best

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best patients of each query, named by their best notes."""
        return [
            list(self._first(query, hits))[:k]
            for query, hits in zip(
                queries, self._notes.search_many(queries, 60, where), strict=True
            )
        ]

    def _first(self, query: Query, hits: Sequence[Hit]) -> Iterator[Hit]:
        for patient_id, score in pooled(hits, self._live, self._best):
            own = [hit.doc_id for hit in hits if self._live[hit.doc_id].patient_id == patient_id]
            if patient_id != query.query_id:
                yield Hit(own[0], score)


def searcher_of(index: Index, system: str, where: Filter | None) -> Searcher:
    settings = SystemSettings(parse_system(system))
    with open_resources(settings.system.strategies, index, where=where) as resources:
        return SystemBuilder(index, resources).build_searcher(settings)


@pytest.mark.parametrize("where", [None, WHERE])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("strategy", [Rm3, Rocchio])
def test_feedback_reads_the_best_note_of_each_patient(
    index: Index, strategy: Callable[..., Rm3 | Rocchio], pool: str, where: Filter | None
) -> None:
    notes = index.with_unit("note")
    live = {note.note_id: note for note in index.patients()}
    expander = strategy(searcher=FirstNotes(index, POOLS[pool]), corpus=notes, where=where)
    rankings = notes.search_many(expander.expand_many(QUERIES), 60, where)
    searcher = searcher_of(index.with_unit(pool=pool), expander.name, where)
    for k in (1, 5, 60):
        expected = [pooled(hits, live, POOLS[pool])[:k] for hits in rankings]
        assert searcher.search_many(QUERIES, k, where) == expected


@pytest.mark.parametrize("where", [None, WHERE])
@pytest.mark.parametrize("pool", POOLS)
def test_phrases_score_notes_and_pool_them(index: Index, pool: str, where: Filter | None) -> None:
    notes = index.with_unit("note")
    live = {note.note_id: note for note in index.patients()}
    feedback = FirstNotes(index, POOLS[pool])
    phrases = PhraseSearcher(searcher=notes, corpus=notes, feedback=feedback)
    rankings = phrases.search_many(QUERIES, 60, where)
    searcher = searcher_of(index.with_unit(pool=pool), "phrases", where)
    for k in (1, 5, 60):
        expected = [pooled(hits, live, POOLS[pool])[:k] for hits in rankings]
        assert searcher.search_many(QUERIES, k, where) == expected


@pytest.mark.parametrize("pool", POOLS)
def test_a_fusion_sees_patients(index: Index, pool: str) -> None:
    by_patient = index.with_unit(pool=pool)
    plain = by_patient.search_many(QUERIES, 60)
    expanded = searcher_of(by_patient, "rm3", None).search_many(QUERIES, 60)
    fused = searcher_of(by_patient, "rrf(bm25,rm3)", None).search_many(QUERIES, 60)
    for hits, *runs in zip(fused, plain, expanded, strict=True):
        scores: dict[str, float] = {}
        for run in runs:
            for rank, hit in enumerate(run, start=1):
                scores[hit.doc_id] = scores.get(hit.doc_id, 0.0) + 1 / (60 + rank)
        assert {hit.doc_id: hit.score for hit in hits} == pytest.approx(scores)


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_hits_equals_pooling_in_the_index(index: Index, pool: str) -> None:
    by_patient = index.with_unit(pool=pool)
    for k in (1, 2, 14, 60):
        for where in (None, WHERE):
            hits = PooledSearcher(index.with_unit("note"), by_patient).search_many(
                QUERIES, k, where
            )
            assert hits == by_patient.search_many(QUERIES, k, where)


def test_ranks_over_the_whole_ranking_are_those_of_patients(index: Index) -> None:
    searcher = searcher_of(index, "rm3", None)
    hits = searcher.search_many(QUERIES, 60)
    ids = [[hit.doc_id for hit in own] for own in hits]
    ranks = searcher.ranks_many(QUERIES, ids)  # type: ignore[attr-defined]
    assert ranks == [list(range(1, len(own) + 1)) for own in ids]
