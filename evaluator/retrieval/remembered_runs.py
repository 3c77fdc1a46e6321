"""Searchers that remember their runs."""

from collections.abc import Sequence

from patientdx.protocols import Searcher
from patientdx.records import Filter, Hit, Query


class RunMemory:
    """Remembers the runs of several searchers while what is below them stays the same."""

    def __init__(self) -> None:
        self._below: object = None
        self._known: dict[object, RememberingSearcher] = {}

    def of(self, below: object, name: object, searcher: Searcher) -> Searcher:
        """A searcher of that name with its earlier runs; those above another `below` are dropped.

        Runs on ever more searchers would fill the memory: let what is `below` vary slowest.
        """
        if below != self._below:
            self._below = below
            self._known.clear()
        return self._known.setdefault(name, RememberingSearcher(searcher))


class RememberingSearcher:
    """Asks another searcher only for what it has not answered before.

    For tuning what stands on top of it, such as the weights of a fusion: the runs below stay
    the same for all candidates. Keeps every answer in memory, some 150 bytes a hit. An answer is
    used again for an equal query, the same k and the same filter only.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._answers: dict[tuple[str, int, Filter | None], tuple[Query, list[Hit]]] = {}

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The `k` best hits of each query, best first."""
        known = {position: self._known(query, k, where) for position, query in enumerate(queries)}
        new = [query for position, query in enumerate(queries) if known[position] is None]
        asked = iter(self._searcher.search_many(new, k, where) if new else ())
        answers = [hits if (hits := known[i]) is not None else next(asked) for i in known]
        for query, hits in zip(queries, answers, strict=True):
            self._answers[query.query_id, k, where] = (query, hits)
        return [list(hits) for hits in answers]

    def _known(self, query: Query, k: int, where: Filter | None) -> list[Hit] | None:
        asked, hits = self._answers.get((query.query_id, k, where), (None, None))
        return hits if asked == query else None
