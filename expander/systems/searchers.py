"""Searchers that expand queries first, and searchers that fuse several."""

from collections.abc import Sequence

from expander.fusion.methods import Fusion
from patientdx.errors import InputError
from patientdx.protocols import Expander, RankingSearcher, Searcher
from patientdx.records import Filter, Hit, Query


class ExpandedSearcher:
    """A `Searcher` that has its queries expanded, then asks another.

    It remembers the queries expanded last: an evaluation asks for hits and then for ranks of the
    same batch, and a model shall not be asked twice.
    """

    def __init__(self, searcher: Searcher, expander: Expander) -> None:
        self._searcher = searcher
        self._expander = expander
        self._last: tuple[list[Query], list[Query]] = ([], [])

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each query, once expanded."""
        return self._searcher.search_many(self.expanded(queries), k, where)

    def expanded(self, queries: Sequence[Query]) -> list[Query]:
        """What the queries become."""
        if list(queries) != self._last[0]:
            self._last = (list(queries), self._expander.expand_many(queries))
        return self._last[1]


class RankingExpandedSearcher(ExpandedSearcher):
    """The same for a searcher that can count ranks: it can count them, too."""

    def __init__(self, searcher: RankingSearcher, expander: Expander) -> None:
        super().__init__(searcher, expander)
        self._ranker = searcher

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The one-based rank of each given patient for each query, once expanded."""
        return self._ranker.ranks_many(self.expanded(queries), doc_ids, where)


def expanded_searcher(searcher: Searcher, expander: Expander) -> ExpandedSearcher:
    """A searcher that expands first; a `RankingSearcher` where the given one is."""
    if isinstance(searcher, RankingSearcher):
        return RankingExpandedSearcher(searcher, expander)
    return ExpandedSearcher(searcher, expander)


class FusedSearcher:
    """A `Searcher` that asks several for `depth` hits each, and fuses the lists."""

    def __init__(self, searchers: Sequence[Searcher], fusion: Fusion, depth: int = 1000) -> None:
        if not searchers:
            raise InputError("there is nothing to fuse")
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
        # By number: nothing says that query ids differ.
        names = [str(number) for number in range(len(queries))]
        runs = [
            dict(zip(names, searcher.search_many(queries, depth, where), strict=True))
            for searcher in self._searchers
        ]
        fused = self._fusion.fuse(runs, k)
        return [fused[name] for name in names]
