"""Searchers that expand and that fuse are searchers, and whole files of queries are expanded."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from expander_fakes import FailingGenerator, FakeGenerator, index_of

from evaluator import evaluate_searcher
from expander.cached_generator import CachedGenerator
from expander.expansions import expand_queries, expansion_row
from expander.fusion.rrf import RRF
from expander.reply_cache import ReplyCache
from expander.strategies.keywords import Keywords
from expander.strategies.reduce import Reduce, ReduceSettings
from expander.systems.searchers import (
    ExpandingRankingSearcher,
    ExpandingSearcher,
    FusedSearcher,
    expanding_searcher,
)
from indexer.index import Index
from patientdx.errors import InputError
from patientdx.protocols import RankingSearcher, Searcher
from patientdx.records import Filter, Hit, Query

NOTES = ["gout toe", "podagra toe", "tophi", "cough fever", "fever"]
QUERIES = [Query("a", "gout"), Query("b", "fever")]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("search") / "index", NOTES)


class Podagra:
    """Adds a word to every query, and counts the queries it expanded."""

    name = "podagra"

    def __init__(self) -> None:
        self.expanded_queries = 0

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        self.expanded_queries += len(queries)
        return [Query(query.query_id, query.text, {"podagra": 0.5}) for query in queries]


class HitsOnlySearcher:
    """A searcher that cannot compute ranks."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.depths: list[int] = []

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        self.depths.append(k)
        return self._index.search_many(queries, k, where)


def test_an_expanding_searcher_searches_the_expanded_queries(index: Index) -> None:
    searcher = expanding_searcher(index, Podagra())
    expanded = Podagra().expand_many(QUERIES)
    where = Filter(exclude_ids=frozenset({"p0"}))
    assert searcher.search_many(QUERIES) == index.search_many(expanded)
    assert searcher.search_many(QUERIES, 1, where) == index.search_many(expanded, 1, where)
    assert searcher.search_many(QUERIES, 1, where)[0][0].doc_id == "p1"
    assert searcher.expand(QUERIES) == expanded
    assert searcher.search_many([]) == []


def test_an_expanding_searcher_ranks_if_its_searcher_does(index: Index) -> None:
    ranking = expanding_searcher(index, Podagra())
    assert type(ranking) is ExpandingRankingSearcher
    assert isinstance(ranking, RankingSearcher)
    assert ranking.ranks_many(QUERIES, [["p0", "p1", "p2"], ["p1"]]) == [[1, 2, None], [3]]
    plain = expanding_searcher(HitsOnlySearcher(index), Podagra())
    assert type(plain) is ExpandingSearcher
    assert isinstance(plain, Searcher)
    assert not isinstance(plain, RankingSearcher)


def test_an_evaluation_expands_every_query_once(index: Index) -> None:
    expander = Podagra()
    searcher = expanding_searcher(index, expander)
    evaluation, _, _ = evaluate_searcher(
        searcher, QUERIES, {"a": {"p1": 1}, "b": {"p1": 1}}, ["RR"]
    )
    assert evaluation.values("RR") == [1 / 2, 1 / 3]
    assert expander.expanded_queries == 2


def test_a_fused_searcher_fuses_hits_of_its_depth(index: Index) -> None:
    searchers = [HitsOnlySearcher(index), HitsOnlySearcher(index)]
    fused = FusedSearcher([searchers[0], expanding_searcher(searchers[1], Podagra())], RRF(), 4)
    hits = fused.search_many(QUERIES, 2)
    runs = [
        {str(n): hits for n, hits in enumerate(index.search_many(queries, 4))}
        for queries in (QUERIES, Podagra().expand_many(QUERIES))
    ]
    whole = RRF().fuse(runs)
    assert hits == [whole["0"][:2], whole["1"][:2]]
    assert searchers[0].depths == searchers[1].depths == [4]
    fused.search_many(QUERIES, 9)
    assert searchers[0].depths[-1] == 9
    assert isinstance(fused, Searcher)
    assert not isinstance(fused, RankingSearcher)


def test_a_fused_searcher_applies_filters_and_accepts_equal_ids(index: Index) -> None:
    fused = FusedSearcher([index, index], RRF())
    same = [Query("same", "gout"), Query("same", "cough")]
    hits = fused.search_many(same, 5, Filter(exclude_ids=frozenset({"p0"})))
    assert [[hit.doc_id for hit in query_hits] for query_hits in hits] == [[], ["p3"]]


def test_a_fusion_needs_searchers_and_a_depth(index: Index) -> None:
    with pytest.raises(InputError):
        FusedSearcher([], RRF())
    with pytest.raises(InputError):
        FusedSearcher([index], RRF(), 0)


def rows(queries: Sequence[Query], generator: CachedGenerator, window: int = 2) -> list[object]:
    expansions = expand_queries(iter(queries), Keywords(generator=generator), window=window)
    return [expansion_row(expansion, with_reply=True) for expansion in expansions]


MANY = [Query(f"q{number}", f"note {number}") for number in range(5)]


def test_a_file_of_queries_becomes_rows_in_order(tmp_path: Path) -> None:
    model = FakeGenerator(lambda prompt: f"word{prompt.partition('note ')[2][0]}")
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        first = rows([*MANY, Query("e", "")], CachedGenerator(model, cache))
        again = rows(MANY, CachedGenerator(model, cache), window=100)
    assert first == [
        {
            "query_id": f"q{number}",
            "weights": {f"word{number}": 1.0},
            "terms": {},
            "replaces_text": False,
            "origin": "model",
            "reply": f"word{number}",
        }
        for number in range(5)
    ] + [{"query_id": "e", "weights": {}, "terms": {}, "replaces_text": False}]
    assert [row["origin"] for row in again if isinstance(row, dict)] == ["cache"] * 5
    assert len(model.seen_prompts) == 5
    assert "note" not in json.dumps(first)


def test_failed_queries_are_rows_without_additions() -> None:
    result = rows(MANY, CachedGenerator(FailingGenerator(lambda number: number == 1), None))
    assert [row["origin"] for row in result if isinstance(row, dict)] == [
        *("model", "model", "failed", "failed", "model")
    ]
    assert isinstance(result[2], dict)
    assert result[2]["weights"] == {}


def test_strategies_without_a_model_make_rows_too(index: Index) -> None:
    strategy = Reduce(ReduceSettings(terms=1, share=None, at_least=1), corpus=index)
    queries = [Query("q", "gout fever", {"cough": 0.5}), Query("g", "gout")]
    row, unchanged = [expansion_row(expansion) for expansion in expand_queries(queries, strategy)]
    assert row == {"query_id": "q", "weights": {}, "terms": {"gout": 1.0}, "replaces_text": True}
    assert unchanged == {"query_id": "g", "weights": {}, "terms": {}, "replaces_text": False}


def test_a_row_holds_only_what_was_added(index: Index) -> None:
    generator = CachedGenerator(FakeGenerator(lambda _: "cough, tophi"), None)
    query = Query("q", "gout", {"cough": 0.5, "x": 1.0}, {"y": 1.0})
    (expansion,) = expand_queries([query], Keywords(generator=generator))
    row = expansion_row(expansion)
    assert (row["weights"], row["terms"]) == ({"cough": 1.0, "tophi": 1.0}, {})
    assert "reply" not in row
