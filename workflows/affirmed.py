"""Leaving out hits whose notes only deny, or relate to relatives or the past, what was searched.

A note is affirmed where one of the words that its passages mark is affirmed. A hit stays where one
of its notes is; scores and order stay as they were.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.passages import marked_terms
from patientdx.assertions import Assertions, Label, find_assertions
from patientdx.protocols import PatientIndex, Searcher
from patientdx.records import Explanation, Filter, Hit, NoteMatches, Query


@dataclass(frozen=True)
class AffirmedSearcher:
    """A searcher whose hits mention a word of the query as present in the patient now.

    The words are those of the query before any expansion.
    """

    searcher: Searcher
    index: PatientIndex

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """See Searcher."""
        return [self._search(query, k, where) for query in queries]

    def _search(self, query: Query, k: int, where: Filter | None) -> list[Hit]:
        """Doubles the depth of the ranking as long as it holds too few affirmed hits."""
        affirmed: list[Hit] = []
        checked, depth = 0, 2 * k
        while True:
            hits = self.searcher.search_many([query], depth, where)[0]
            for start in range(checked, len(hits), k):
                batch = hits[start : start + k]
                matches = match_affirmed(self.index, query, [hit.doc_id for hit in batch], where)
                affirmed += [hit for hit in batch if hit.doc_id in matches]
                if len(affirmed) >= k:
                    return affirmed[:k]
            if len(hits) < depth:
                return affirmed
            checked, depth = len(hits), 2 * depth


def match_affirmed(
    index: PatientIndex, query: Query, doc_ids: Sequence[str], where: Filter | None
) -> dict[str, NoteMatches]:
    """The affirmed notes behind hits: the best of them, how many there are, and their dates.

    Hits without any are left out.
    """
    by_note = index.with_unit("note")
    ids = list(doc_ids)
    if index.by == "patient":
        ids = [note.document_id for doc_id in doc_ids for note in index.notes(doc_id)]
    passing = [m.note_id for m in by_note.match_notes(query, ids, where) if m.notes_matched]
    affirmed: dict[str, list[Explanation]] = {}
    for explained in by_note.explain_many(query, passing):
        if _is_affirmed(index, explained):
            note = index.note(explained.doc_id)
            hit_id = note.patient_id if index.by == "patient" else note.document_id
            affirmed.setdefault(hit_id, []).append(explained)
    return {hit_id: _sum_up(index, notes) for hit_id, notes in affirmed.items()}


def _is_affirmed(index: PatientIndex, explained: Explanation) -> bool:
    """Whether a note has an affirmed word among those that its passages mark."""
    marked = {share.term for share in marked_terms(explained.shares)}
    text = index.note(explained.doc_id).full_text
    places = (start for start, _, term in index.spans(text) if term in marked)
    return find_assertions(text).is_affirmed(places)


def _sum_up(index: PatientIndex, explained: Sequence[Explanation]) -> NoteMatches:
    """The best of a hit's notes, their number and dates."""
    best = index.note(max(explained, key=lambda about: (about.score, about.doc_id)).doc_id)
    dates = {index.note(about.doc_id).date for about in explained} - {""}
    return NoteMatches(best.patient_id, best.document_id, len(explained), tuple(sorted(dates)))


def count_labels(
    index: PatientIndex, text: str, assertions: Assertions
) -> Mapping[str, Mapping[Label, int]]:
    """By term, how many of its words in a text have each label; terms without any are left out."""
    counts: dict[str, Counter[Label]] = {}
    for start, _, term in index.spans(text):
        for label in assertions.at(start):
            counts.setdefault(term, Counter())[label] += 1
    return counts
