"""Searches equal brute force to the last bit: ids, order and float32 scores."""

from collections.abc import Iterator

import pytest
from corpora import (
    EXAMPLES,
    Case,
    World,
    bm25s,
    cases,
    fields_are_known,
    filters,
    make_world,
    queries,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.scoring.scorer import Engine
from patientdx.errors import InputError
from patientdx.records import Filter, Query

many_examples = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ENGINES: list[Engine] = ["numpy", "compiled"]
depths = st.sampled_from([1, 2, 3, 10, 59, 60, 1000])
batches = st.lists(queries, min_size=1, max_size=5)


def open_indexes(
    world: World, bm25: BM25Settings, threads: tuple[int, ...] = (1, 2)
) -> Iterator[Index]:
    for engine in ENGINES:
        for count in threads:
            yield Index.open(world.folder, bm25=bm25, engine=engine, threads=count)


def check_search(
    world: World, index: Index, batch: list[Query], k: int, where: Filter | None
) -> None:
    oracle = world.oracle(index.bm25)
    expected = [oracle.ranking(query, where)[:k] for query in batch]
    assert index.search_many(batch, k, where) == expected
    for query, hits in zip(batch, expected, strict=True):
        assert index.search_many([query], k, where) == [hits]


@many_examples
@given(case=cases, batch=batches, k=depths, where=filters, bm25=bm25s)
def test_searches_equal_brute_force(
    case: Case, batch: list[Query], k: int, where: Filter | None, bm25: BM25Settings
) -> None:
    with make_world(case) as world:
        for index in open_indexes(world, bm25):
            assert index.size == len(world.live)
            if fields_are_known(index, where):
                check_search(world, index, batch, k, where)
            else:
                with pytest.raises(InputError, match="no note has a field"):
                    index.search_many(batch, k, where)


@many_examples
@given(case=cases, batch=batches, where=filters, bm25=bm25s)
def test_ranks_are_places_in_the_whole_ranking(
    case: Case, batch: list[Query], where: Filter | None, bm25: BM25Settings
) -> None:
    with make_world(case) as world:
        oracle = world.oracle(bm25)
        wanted = [*sorted(world.live), "unknown", *(sorted(where.exclude_ids) if where else ())]
        orders = [[i for i, _ in oracle.ranking(query, where)] for query in batch]
        places = [{i: n for n, i in enumerate(order, start=1)} for order in orders]
        single = [[case.rnd.choice(wanted)] for _ in batch]
        for index in open_indexes(world, bm25, threads=(1,)):
            if not fields_are_known(index, where):
                return
            together = index.ranks_many(batch, [wanted] * len(batch), [where] * len(batch))
            assert together == [[place.get(i) for i in wanted] for place in places]
            alone = index.ranks_many(batch, single, [where] * len(batch))
            expected = [[place.get(i)] for (i,), place in zip(single, places, strict=True)]
            assert alone == expected


@many_examples
@given(case=cases, query=queries, bm25=bm25s)
def test_explanations_sum_to_the_score(case: Case, query: Query, bm25: BM25Settings) -> None:
    with make_world(case) as world:
        index = Index.open(world.folder, bm25=bm25)
        oracle = world.oracle(bm25)
        scores = dict(oracle.ranking(query))
        for doc_id, shares in oracle.shares(query).items():
            explanation = index.explain(query, doc_id)
            assert explanation.doc_id == doc_id
            assert explanation.score == scores.get(doc_id, 0.0)
            assert {entry.term: entry.share for entry in explanation.shares} == shares
            values = [entry.share for entry in explanation.shares]
            assert values == sorted(values, reverse=True)
            for entry in explanation.shares:
                assert entry.tf == oracle.counts[doc_id][entry.term]


@settings(parent=many_examples, max_examples=max(20, EXAMPLES // 4))
@given(case=cases, query=queries, k=depths, first=bm25s, second=bm25s)
def test_other_settings_share_the_files_and_nothing_else(
    case: Case, query: Query, k: int, first: BM25Settings, second: BM25Settings
) -> None:
    with make_world(case) as world:
        for index in open_indexes(world, first, threads=(1,)):
            check_search(world, index, [query], k, None)
            check_search(world, index.with_bm25(second.k1, second.b), [query], k, None)
            check_search(world, index, [query], k, None)


@settings(parent=many_examples, max_examples=max(20, EXAMPLES // 4))
@given(case=cases)
def test_the_index_reports_what_it_holds(case: Case) -> None:
    with make_world(case) as world:
        index = Index.open(world.folder)
        oracle = world.oracle(index.bm25)
        assert {patient.patient_id: patient for patient in index.patients()} == world.live
        counts = oracle.counts
        assert index.manifest.tokens == sum(held.total() for held in counts.values())
        for doc_id, held in counts.items():
            assert doc_id in index
            assert index.text(doc_id) == world.live[doc_id].full_text
            assert index.term_vector(doc_id) == held
        for term in {term for held in counts.values() for term in held}:
            holders = sum(term in held for held in counts.values())
            assert index.document_frequency(term) == holders
        assert index.document_frequency("nosuchword") == 0
