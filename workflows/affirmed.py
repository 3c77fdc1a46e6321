"""Leaving out hits whose notes only deny, or relate to relatives or the past, what was searched.

A note is affirmed where one of the words that its passages mark is affirmed. A hit stays where one
of its notes is; scores and order stay as they were.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from indexer.passages import marked_terms
from patientdx.assertions import Assertions, Label, find_assertions
from patientdx.protocols import PatientIndex, Searcher
from patientdx.records import Filter, Hit, NoteMatches, Query, TermShare


@dataclass(frozen=True)
class AffirmedSearcher:
    """A searcher whose hits mention a word of the query as present in the patient now.

    The words are those of the query as it was put, not what an expansion adds.
    """

    searcher: Searcher
    index: PatientIndex

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """See Searcher."""
        return [self._search(query, k, where) for query in queries]

    def _search(self, query: Query, k: int, where: Filter | None) -> list[Hit]:
        """Looks at twice as many hits as long as there are too few."""
        affirmed: list[Hit] = []
        seen, depth = 0, 2 * k
        while True:
            hits = self.searcher.search_many([query], depth, where)[0]
            for hit in hits[seen:]:
                if match_affirmed(self.index, query, hit.doc_id, where).notes_matched:
                    affirmed.append(hit)
                    if len(affirmed) == k:
                        return affirmed
            if len(hits) < depth:
                return affirmed
            seen, depth = len(hits), 2 * depth


def match_affirmed(
    index: PatientIndex, query: Query, doc_id: str, where: Filter | None
) -> NoteMatches:
    """The affirmed notes behind a hit: the best of them, how many there are, and their dates.

    Without any, `notes_matched` is 0 and the best note of all is named.
    """
    by_note = index.with_unit("note")
    ids = [doc_id]
    if index.by == "patient":
        ids = [note.document_id for note in index.notes(doc_id)]
    matches = by_note.match_notes(query, ids, where)
    ids = [match.note_id for match in matches if match.notes_matched]
    affirmed = [
        (explained.score, explained.doc_id)
        for explained in by_note.explain_many(query, ids)
        if _is_affirmed(index, explained.doc_id, explained.shares)
    ]
    if not affirmed:
        return index.match_notes(query, [doc_id], where)[0]._replace(notes_matched=0, dates=())
    dates = {index.note(note_id).date for _, note_id in affirmed} - {""}
    best = index.note(max(affirmed)[1])
    return NoteMatches(best.patient_id, best.document_id, len(affirmed), tuple(sorted(dates)))


def _is_affirmed(index: PatientIndex, note_id: str, shares: Sequence[TermShare]) -> bool:
    """Whether a note has an affirmed word among those that its passages mark."""
    marked = {share.term for share in marked_terms(shares)}
    text = index.note(note_id).full_text
    places = (start for start, _, term in index.spans(text) if term in marked)
    return find_assertions(text).is_affirmed(places)


def count_labels(
    index: PatientIndex, text: str, assertions: Assertions
) -> dict[str, Counter[Label]]:
    """By term, how many of its words in a text have each label; terms without any are left out."""
    counts: dict[str, Counter[Label]] = {}
    for start, _, term in index.spans(text):
        for label in assertions.at(start):
            counts.setdefault(term, Counter())[label] += 1
    return counts
