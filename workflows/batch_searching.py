"""Searching for many queries at once, with what is needed to show their hits."""

from collections.abc import Sequence
from pathlib import Path

from expander import SystemSettings
from patientdx.protocols import PatientIndex
from patientdx.records import Filter, Query

from .affirmed import AffirmedSearcher
from .generators import GeneratorSettings
from .monitor import LOG, Monitor
from .searching import (
    SearchResult,
    explain_expansion,
    report_unreadable_values,
    search_queries,
)
from .systems import SystemBuilder, open_resources


def search_batch(
    index: PatientIndex,
    queries: Sequence[Query],
    k: int,
    *,
    system: SystemSettings,
    where: Filter | None = None,
    affirmed_only: bool = False,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    explained: bool = False,
    monitor: Monitor = LOG,
) -> list[SearchResult]:
    """The hits of every query, in the order of the queries.

    Where they are to be `explained`, results have the query as expanded and the ranks of plain
    BM25, as those of `search_patients` have. `affirmed_only` is that of `search_patients`.
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
        own = index.with_bm25(system.k1, system.b)
        searcher = builder.build_searcher(system)
        if affirmed_only:
            searcher = AffirmedSearcher(searcher, own)
        run = search_queries(searcher, queries, k, where, monitor)
        report_unreadable_values(index, where, monitor)
        results = [
            SearchResult(
                own,
                query,
                run[query.query_id],
                str(system),
                where=where,
                affirmed=query if affirmed_only else None,
            )
            for query in {query.query_id: query for query in queries}.values()
        ]
        if not explained:
            return results
        return [explain_expansion(result, builder, system, k) for result in results]
