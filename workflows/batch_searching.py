"""Searching for many queries at once, with what is needed to show their hits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from expander import SystemSettings
from patientdx.protocols import PatientIndex
from patientdx.records import Filter, Query

from .generators import GeneratorSettings
from .monitor import LOG, Monitor
from .searching import SearchResult, report_unreadable_values, search_queries
from .systems import FUSION_DEPTH, SystemBuilder, added_terms, open_resources


def search_batch(
    index: PatientIndex,
    queries: Sequence[Query],
    k: int,
    *,
    system: SystemSettings,
    where: Filter | None = None,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    explained: bool = False,
    monitor: Monitor = LOG,
) -> list[SearchResult]:
    """The hits of every query, in the order of the queries.

    Where they are to be `explained`, results have the query as expanded and the ranks of plain
    BM25, as those of `search_patients` have.
    """
    with open_resources(
        system.system.strategies,
        index,
        generator=generator,
        vocabularies=vocabularies,
        where=where,
        monitor=monitor,
    ) as resources:
        builder = SystemBuilder(index, resources)
        run = search_queries(builder.build_searcher(system), queries, k, where, monitor)
        report_unreadable_values(index, where, monitor)
        own = index.with_bm25(system.k1, system.b)
        plain = [
            SearchResult(own, query, run[query.query_id], str(system), where=where)
            for query in {query.query_id: query for query in queries}.values()
        ]
        if not explained or str(system) == "bm25":
            return plain
        return list(_expanded(plain, builder, system, max(FUSION_DEPTH, k), where))


def _expanded(
    results: Sequence[SearchResult],
    builder: SystemBuilder,
    system: SystemSettings,
    depth: int,
    where: Filter | None,
) -> Iterator[SearchResult]:
    """The results with the queries as expanded, and the ranks of patients under plain BM25."""
    for result in results:
        query, own = result.query, result.index
        expanded = builder.expand_query(system, query)
        before = own.search_many([query], depth, where)[0]
        ranks = {hit.doc_id: rank for rank, hit in enumerate(before, 1)}
        added = added_terms(query, expanded)
        yield SearchResult(own, expanded, result.hits, str(system), added, ranks, where)
