"""Searching for similar patients: one note with explained hits, or many queries as a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from expander import SystemSettings
from expander.systems.system import parse_system
from indexer.passages import Passage, find_passages
from patientdx.assertions import Assertions, Label, find_assertions
from patientdx.errors import InputError, UsageError
from patientdx.frames import Library, html_table, to_frame
from patientdx.protocols import FieldIndex, PatientIndex, Searcher
from patientdx.records import Explanation, Filter, Hit, NoteMatches, Patient, Query, Run, Unit
from patientdx.wording import count_noun

from .affirmed import AffirmedSearcher, count_labels, match_affirmed
from .generators import GeneratorSettings
from .monitor import LOG, Monitor
from .systems import FUSION_DEPTH, SystemBuilder, added_terms, open_resources

RESEARCH_NOTICE = "For research use; not a medical device."
QUERIES_PER_BATCH = 512


@dataclass(frozen=True, repr=False)
class SearchResult:
    """The hits of a query, with what an expansion changed.

    `query` is the query as searched, `added` the words or terms that the expansion added with
    their weights, `bm25_ranks` the ranks of patients under plain BM25 (None: nothing was
    expanded). Of a patient with several notes, the best of those that pass `where` is shown; with
    `affirmed`, the best of those that have an affirmed word of that query (`match_affirmed`).
    """

    index: PatientIndex
    query: Query
    hits: Sequence[Hit]
    system: str = "bm25"
    added: Mapping[str, float] = field(default_factory=dict)
    bm25_ranks: Mapping[str, int] | None = None
    where: Filter | None = None
    affirmed: Query | None = None

    def __repr__(self) -> str:
        return (
            f"SearchResult({self.query.query_id!r}, {len(self.hits)} hits, system={self.system!r})"
        )

    def _repr_html_(self) -> str:
        return html_table(self.columns(), self.rows_of_values())

    def columns(self) -> tuple[str, ...]:
        """See Tabular."""
        known = ("rank", "patient_id", "score", "age_years", "sex", "bm25_rank")
        return (*known, "note_id", "notes_matched", "date")

    def rows_of_values(self) -> Iterator[tuple[Any, ...]]:
        """See Tabular: one row a hit, without text."""
        for rank, hit in enumerate(self.hits, 1):
            note, matches = self.note(hit.doc_id), self.matches[hit.doc_id]
            bm25_rank = (self.bm25_ranks or {}).get(hit.doc_id)
            known = (rank, note.patient_id, hit.score, note.age_years, note.sex, bm25_rank)
            yield *known, matches.note_id, matches.notes_matched, note.date

    def to_frame(self, library: Library = "pandas") -> Any:
        """The hits as a data frame, without text."""
        return to_frame(self, library)

    @cached_property
    def matches(self) -> Mapping[str, NoteMatches]:
        """The notes behind each hit, by its id: the best, how many match, and their dates."""
        ids = [hit.doc_id for hit in self.hits]
        if self.affirmed is not None:
            return match_affirmed(self.index, self.affirmed, ids, self.where)
        return dict(zip(ids, self.index.match_notes(self.query, ids, self.where), strict=True))

    @cached_property
    def explanations(self) -> Mapping[str, Explanation]:
        """The share of each matching term in the BM25 score of each hit's best note, by its id."""
        ids = [hit.doc_id for hit in self.hits]
        notes = [self.matches[doc_id].note_id for doc_id in ids]
        explained = self.index.with_unit("note").explain_many(self.query, notes)
        return {i: about._replace(doc_id=i) for i, about in zip(ids, explained, strict=True)}

    def note(self, doc_id: str) -> Patient:
        """The best note of a hit, with what is known of its patient."""
        return self.index.note(self.matches[doc_id].note_id)

    def passages(self, doc_id: str) -> list[Passage]:
        """The passages of a hit's best note that match best, with the places of the terms."""
        shares = self.explanations[doc_id].shares
        text = self.note(doc_id).full_text
        return find_passages(text, shares, self.index.spans(text))

    def assertions(self, doc_id: str) -> Assertions:
        """What a hit's best note asserts of each of its words: negated, of the family ..."""
        return find_assertions(self.note(doc_id).full_text)

    def count_labels(
        self, doc_id: str, assertions: Assertions
    ) -> Mapping[str, Mapping[Label, int]]:
        """By term of a hit's best note, how many of its words are negated, of the family ..."""
        return count_labels(self.index, self.note(doc_id).full_text, assertions)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values: each hit with its patient, passages and explanation."""
        data: dict[str, Any] = {"query_id": self.query.query_id, "notice": RESEARCH_NOTICE}
        if self.bm25_ranks is not None:
            data |= {"system": self.system, "added": dict(self.added)}
        return {**data, "hits": [self._hit(rank, hit) for rank, hit in enumerate(self.hits, 1)]}

    def _hit(self, rank: int, hit: Hit) -> dict[str, Any]:
        note, matches = self.note(hit.doc_id), self.matches[hit.doc_id]
        explanation = self.explanations[hit.doc_id]
        shown, assertions = self.passages(hit.doc_id), self.assertions(hit.doc_id)
        labels = self.count_labels(hit.doc_id, assertions)
        before = {} if self.bm25_ranks is None else {"bm25_rank": self.bm25_ranks.get(hit.doc_id)}
        return {
            "rank": rank,
            **before,
            **asdict(note),
            "note_id": matches.note_id,
            "notes_matched": matches.notes_matched,
            "dates": list(matches.dates),
            "metadata": dict(note.metadata),
            "score": hit.score,
            "passages": [
                {
                    "text": part.text,
                    "matches": part.matches,
                    "assertions": [assertions.at(part.start + start) for start, _ in part.matches],
                }
                for part in shown
            ],
            "explanation": [
                {**share._asdict(), "assertions": labels.get(share.term, {})}
                for share in explanation.shares
            ],
        }


def search_patients(
    index: PatientIndex,
    query: str | Query,
    k: int = 10,
    *,
    system: SystemSettings | str = "bm25",
    where: Filter | None = None,
    affirmed_only: bool = False,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    monitor: Monitor = LOG,
) -> SearchResult:
    """The `k` patients most similar to a note, by a retrieval system, best first.

    `system` is `bm25`, a strategy (`phrases`, `rm3`, `keywords` ...), a fusion such as
    `rrf(bm25,keywords)`, or a system with its settings. `affirmed_only` leaves out patients whose
    notes only deny what the passages mark, or relate it to relatives or the past.
    """
    if isinstance(query, str):
        query = Query("query", query)
    if isinstance(system, str):
        system = SystemSettings(parse_system(system))
    where = where or Filter()
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
        hits = searcher.search_many([query], k, where)[0]
        report_unreadable_values(index, where, monitor)
        affirmed = query if affirmed_only else None
        result = SearchResult(own, query, hits, where=where, affirmed=affirmed)
        return explain_expansion(result, builder, system, k)


def explain_expansion(
    result: SearchResult, builder: SystemBuilder, system: SystemSettings, k: int
) -> SearchResult:
    """The result with its query as expanded and the ranks of patients under plain BM25.

    The result itself where the system is BM25, which expands nothing.
    """
    if str(system) == "bm25":
        return result
    query, where = result.query, result.where
    expanded = builder.expand_query(system, query)
    plain = result.index.search_many([query], max(FUSION_DEPTH, k), where)[0]
    ranks = {hit.doc_id: rank for rank, hit in enumerate(plain, 1)}
    added = added_terms(query, expanded)
    return replace(result, query=expanded, system=str(system), added=added, bm25_ranks=ranks)


def report_unreadable_values(
    index: PatientIndex, where: Filter | None, monitor: Monitor = LOG
) -> None:
    """Says how many notes did not pass a filter because a value of theirs could not be compared."""
    if not isinstance(index, FieldIndex) or where is None:
        return
    lines = [
        f"left out {count_noun(count, 'note')} whose `{name}` is not {condition.compared}"
        for condition, (name, count) in zip(
            where.conditions, index.unreadable_values(where), strict=True
        )
        if count
    ]
    for line in dict.fromkeys(lines):
        monitor.notice(line)


def similar_patients(
    index: PatientIndex,
    patient_id: str | None,
    k: int = 10,
    *,
    note_id: str | None = None,
    other_articles: bool = False,
    system: SystemSettings | str = "bm25",
    where: Filter | None = None,
    affirmed_only: bool = False,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    monitor: Monitor = LOG,
) -> SearchResult:
    """The `k` patients most similar to one of the index, never that patient.

    The query is all notes of the patient or, with `note_id` instead, one note. With
    `other_articles` patients of the same article are left out too. An id that is no patient's but
    a note's names that note. Raises NotFoundError for an unknown id, UsageError unless one is
    named.
    """
    if patient_id is not None and note_id is None and _is_only_a_note(index, patient_id):
        monitor.notice(f"no patient `{patient_id}`: the note of this id is the query")
        patient_id, note_id = None, patient_id
    query = _query_of_index(index, patient_id, note_id)
    owner = query.query_id if note_id is None else index.note(note_id).patient_id
    others = index.exclusion_filter(owner, where or Filter())
    if other_articles:
        try:
            others = index.exclusion_filter(owner, others, other_articles=True)
        except InputError as error:
            # Nobody shares an article with a patient who is of none.
            monitor.warning(f"{error}: only that patient is left out")
    return search_patients(
        index,
        query,
        k,
        system=system,
        where=others,
        affirmed_only=affirmed_only,
        generator=generator,
        vocabularies=vocabularies,
        monitor=monitor,
    )


def _is_only_a_note(index: PatientIndex, doc_id: str) -> bool:
    """Whether an id is that of a note and of no patient."""
    return doc_id not in index.with_unit("patient") and doc_id in index.with_unit("note")


def _query_of_index(index: PatientIndex, patient_id: str | None, note_id: str | None) -> Query:
    """The text of all notes of a patient, or of one note, as a query."""
    unit, doc_id = choose_query_id(patient_id, note_id)
    return Query(doc_id, index.with_unit(unit).text(doc_id))


def choose_query_id(patient_id: str | None, note_id: str | None) -> tuple[Unit, str]:
    """The id that is the query, and of what. Raises UsageError unless exactly one is named."""
    hint = "similar PATIENT --index FOLDER, or similar --note ID --index FOLDER"
    if patient_id is not None and note_id is not None:
        raise UsageError("name a patient or a note, not both", hint=hint)
    if patient_id is not None:
        return "patient", patient_id
    if note_id is not None:
        return "note", note_id
    raise UsageError("no patient named: PATIENT or --note is missing", hint=hint)


def search_queries(
    searcher: Searcher,
    queries: Sequence[Query],
    k: int,
    where: Filter | None = None,
    monitor: Monitor = LOG,
) -> Run:
    """The `k` best hits of every query, by query id."""
    run: Run = {}
    with monitor.progress("searching", len(queries)) as report:
        for start in range(0, len(queries), QUERIES_PER_BATCH):
            batch = queries[start : start + QUERIES_PER_BATCH]
            ids = (query.query_id for query in batch)
            run.update(zip(ids, searcher.search_many(batch, k, where), strict=True))
            report(len(run))
    return run
