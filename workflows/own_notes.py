"""The note that a query comes from: whether it is left out of the query's ranking.

Where queries are patients of the indexed collection (ReCDS), a query's own note would be its first
hit and says nothing. Elsewhere a query and a note may share an id by chance, as where both are
numbered from 1: then the note is like any other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from patientdx.protocols import PatientIndex
from patientdx.records import Qrels, Query, Run
from patientdx.wording import count_noun

from .judgements import JudgedQueries
from .monitor import Monitor

OwnNotesChoice = Literal["auto", "drop", "keep"]
"""Whether a note with the id of the query is dropped from its ranking.

`auto` drops it where the data set has its queries in the corpus (ReCDS), or where the note's text
is that of the query.
"""


@dataclass(frozen=True)
class OwnNotes:
    """The queries whose own note is dropped and those where it is ranked, and a note on both."""

    dropped: frozenset[str] = frozenset()
    ranked: frozenset[str] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)


def find_own_notes(
    index: PatientIndex, judged: JudgedQueries, choice: OwnNotesChoice, monitor: Monitor
) -> OwnNotes:
    """The judged queries whose own note is in the index and is dropped from their rankings."""
    same_id = [
        query
        for query in judged.queries
        if query.query_id in judged.qrels and query.query_id in index
    ]
    if choice == "auto" and not judged.of_patients:
        own = [query for query in same_id if _has_text_of(index, query)]
    else:
        own = [] if choice == "keep" else same_id
    ids, own_ids = (frozenset(query.query_id for query in some) for some in (same_id, own))
    return _report(ids, own_ids, judged.qrels, monitor)


def find_own_hits(
    runs: Collection[Run],
    qrels: Qrels,
    choice: OwnNotesChoice,
    monitor: Monitor,
    *,
    of_patients: bool = False,
) -> OwnNotes:
    """The judged queries that have their own id among their hits, and whether that is dropped.

    Without an index there are no texts to compare: `auto` drops where `of_patients` is set.
    """
    same_id = frozenset(
        query_id
        for run in runs
        for query_id, hits in run.items()
        if query_id in qrels and any(hit.doc_id == query_id for hit in hits)
    )
    drops = choice == "drop" or (choice == "auto" and of_patients)
    return _report(same_id, same_id if drops else frozenset(), qrels, monitor)


def _has_text_of(index: PatientIndex, query: Query) -> bool:
    """Whether the patient with the query's id has a note, or notes, of the query's text.

    Blanks and case make no difference.
    """
    words = query.text.casefold().split()
    notes = index.notes(index.patient(query.query_id).patient_id)
    texts = [index.text(query.query_id)]
    texts += (text for note in notes for text in (note.text, note.full_text))
    return any(text.casefold().split() == words for text in texts)


def _report(
    same_id: frozenset[str], dropped: frozenset[str], qrels: Qrels, monitor: Monitor
) -> OwnNotes:
    ranked, parts = same_id - dropped, []
    if dropped:
        judgements = sum(query_id in qrels[query_id] for query_id in dropped)
        lost = f", with {count_noun(judgements, 'judgement')}" if judgements else ""
        parts.append(
            f"dropped from the rankings of {count_noun(len(dropped), 'query', 'queries')}{lost}"
        )
    if ranked:
        number = count_noun(len(ranked), "query", "queries")
        parts.append(f"ranked like others for {number} with the id of a note (--own-notes)")
    if not parts:
        return OwnNotes()
    note = "; ".join(parts)
    monitor.notice(f"own notes: {note}")
    return OwnNotes(dropped, ranked, {"own notes": note})
