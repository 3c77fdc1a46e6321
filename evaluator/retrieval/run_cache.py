"""Caches of runs, for tuning what stands on top of them, such as the weights of a fusion."""

from collections.abc import Sequence

from patientdx.protocols import Searcher
from patientdx.records import Filter, Hit, Query


class RunCache:
    """Caches the runs of several searchers as long as their base stays the same."""

    def __init__(self) -> None:
        self._base: object = None
        self._searchers: dict[object, CachingSearcher] = {}

    def wrap(self, base: object, name: object, searcher: Searcher) -> Searcher:
        """The caching searcher of a name; a new `base` drops the searchers of the one before.

        Keeping runs of all bases would fill the memory: vary the base in the outermost loop.
        """
        if base != self._base:
            self._base = base
            self._searchers.clear()
        return self._searchers.setdefault(name, CachingSearcher(searcher))


class CachingSearcher:
    """Calls another searcher only for queries that it has not answered before.

    It keeps all hits in memory, some 150 bytes each. They are reused for an equal query, the same
    k and the same filter only.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._cache: dict[tuple[str, int, Filter | None], tuple[Query, list[Hit]]] = {}

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The `k` best hits of each query, best first."""
        cached = [self._cached_hits(query, k, where) for query in queries]
        new = [query for query, hits in zip(queries, cached, strict=True) if hits is None]
        new_hits = iter(self._searcher.search_many(new, k, where) if new else ())
        results = [next(new_hits) if hits is None else hits for hits in cached]
        for query, hits in zip(queries, results, strict=True):
            self._cache[query.query_id, k, where] = (query, hits)
        return [list(hits) for hits in results]

    def _cached_hits(self, query: Query, k: int, where: Filter | None) -> list[Hit] | None:
        cached_query, hits = self._cache.get((query.query_id, k, where), (None, None))
        return hits if cached_query == query else None
