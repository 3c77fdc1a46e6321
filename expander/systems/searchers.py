"""A searcher that expands its queries, and a searcher that fuses the hits of several."""

from collections.abc import Sequence

from expander.fusion.fusion import Fusion
from patientdx.errors import InputError
from patientdx.protocols import Expander, RankingSearcher, Searcher
from patientdx.records import Filter, Hit, Query


class ExpandingSearcher:
    """A `Searcher` that expands queries and passes them to another searcher.

    It remembers the last batch of expanded queries: an evaluation asks for the hits and then for
    the ranks of the same batch, which must not run a model twice.
    """

    def __init__(self, searcher: Searcher, expander: Expander) -> None:
        self._searcher = searcher
        self._expander = expander
        self._last_batch: tuple[list[Query], list[Query]] = ([], [])

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each expanded query."""
        return self._searcher.search_many(self.expand(queries), k, where)

    def expand(self, queries: Sequence[Query]) -> list[Query]:
        """The expanded queries."""
        if list(queries) != self._last_batch[0]:
            self._last_batch = (list(queries), self._expander.expand_many(queries))
        return self._last_batch[1]


class ExpandingRankingSearcher(ExpandingSearcher):
    """An `ExpandingSearcher` over a `RankingSearcher`, which can also compute ranks."""

    def __init__(self, searcher: RankingSearcher, expander: Expander) -> None:
        super().__init__(searcher, expander)
        self._ranking_searcher = searcher

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The one-based ranks of patients for each expanded query."""
        return self._ranking_searcher.ranks_many(self.expand(queries), doc_ids, where)


def expanding_searcher(searcher: Searcher, expander: Expander) -> ExpandingSearcher:
    """A searcher that expands its queries; it computes ranks if `searcher` does."""
    if isinstance(searcher, RankingSearcher):
        return ExpandingRankingSearcher(searcher, expander)
    return ExpandingSearcher(searcher, expander)


class FusedSearcher:
    """A `Searcher` that fuses the `depth` best hits of several searchers."""

    def __init__(self, searchers: Sequence[Searcher], fusion: Fusion, depth: int = 1000) -> None:
        if not searchers:
            raise InputError("there are no searchers to fuse")
        if depth < 1:
            raise InputError(f"depth must be 1 or more, not {depth}")
        self._searchers = searchers
        self._fusion = fusion
        self._depth = depth

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each query after fusion. A depth below k is raised to k."""
        depth = max(k, self._depth)
        # Runs are keyed by position, because query ids may repeat.
        keys = [str(position) for position in range(len(queries))]
        runs = [
            dict(zip(keys, searcher.search_many(queries, depth, where), strict=True))
            for searcher in self._searchers
        ]
        fused = self._fusion.fuse(runs, k)
        return [fused[key] for key in keys]
