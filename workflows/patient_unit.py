"""Searchers that rank patients by their notes, and what feedback sees of these patients.

A system that scores notes pools its scores to patients before anything else: fusions and measures
see patients. Feedback reads each patient's best note.
"""

from collections.abc import Sequence

from patientdx.pooling import pool_hits, pooled_notes
from patientdx.protocols import CorpusView, PatientIndex, Searcher
from patientdx.records import Filter, Hit, Query

_FIRST_DEPTH = 4
_GROWTH = 4


def feedback_view(index: PatientIndex) -> tuple[Searcher, CorpusView]:
    """The first hits and the texts for feedback: of patients with several notes, the best notes."""
    if not index.pools_notes:
        return index, index
    return BestNotes(index), index.with_unit("note")


class BestNotes:
    """A `Searcher` of the best patients, each under the id of their best note.

    The patient whom a query is named after is left out.
    """

    def __init__(self, index: PatientIndex) -> None:
        self._index = index

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best patients of each query by their best notes, with the patients' scores."""
        hits_by_query = self._index.search_best_notes(queries, k + 1, where)
        pairs = zip(queries, hits_by_query, strict=True)
        return [self._without_own(query, hits)[:k] for query, hits in pairs]

    def _without_own(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        owners = self._index.patients_of([hit.doc_id for hit in hits])
        pairs = zip(hits, owners, strict=True)
        return [hit for hit, owner in pairs if owner != query.query_id]


class PooledSearcher:
    """A `Searcher` of patients over a searcher of notes, pooled as an index pools them.

    The searcher's hits must be the same at every depth, but for those that a greater depth adds.
    """

    def __init__(self, notes: Searcher, index: PatientIndex) -> None:
        self._notes = notes
        self._index = index
        self._best = pooled_notes(index.pool)

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best patients of each query."""
        deepest = max(1, self._index.size)
        depth = deepest if self._best > 1 else min(deepest, _FIRST_DEPTH * k)
        results: dict[int, list[Hit]] = {}
        pending = list(range(len(queries)))
        while pending:
            hits_by_query = self._notes.search_many([queries[q] for q in pending], depth, where)
            for q, hits in zip(pending, hits_by_query, strict=True):
                patients = self._pool(hits)
                whole = len(hits) < depth or depth == deepest
                # Notes below the k-th patient's score change nothing.
                if whole or (len(patients) >= k and hits[-1].score < patients[k - 1].score):
                    results[q] = patients[:k]
            pending = [q for q in pending if q not in results]
            depth = min(deepest, _GROWTH * depth)
        return [results[q] for q in range(len(queries))]

    def _pool(self, hits: Sequence[Hit]) -> list[Hit]:
        ids = [hit.doc_id for hit in hits]
        owners = dict(zip(ids, self._index.patients_of(ids), strict=True))
        return pool_hits(hits, owners, self._best)
