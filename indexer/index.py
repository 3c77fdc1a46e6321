"""The `Index`: opens an index folder, searches it, finds similar patients, explains scores."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from patientdx.errors import IndexFolderError, InputError, NotFoundError, describe_patient_id
from patientdx.pooling import pooled_notes
from patientdx.records import Explanation, Facet, Filter, Hit, NoteMatches, Patient, Query, Unit

from .analysis import Analyzer
from .articles import exclude_article
from .bm25 import BM25Settings
from .description import describe_state
from .explain import explain_score
from .facets import count_facets, count_unreadable
from .patients import PatientTable, Place, find_note
from .scoring.note_ranks import rank_notes
from .scoring.pooling import PatientScorer
from .scoring.ranking import Ranking, drop_notes, to_hits
from .scoring.scorer import Engine, Scorer
from .scoring.statistics import Statistics, WeightedTerms, query_counts
from .segments.segment import Segment
from .storage.manifest import Manifest, read_manifest

_OPEN_ATTEMPTS = 5


class Index:
    """A committed state of an index, opened for reading.

    Implements `PatientIndex` of `patientdx.protocols`. Scores are exact, see `bm25`. Changes
    committed after the index was opened are not visible to it. Hits and ids are those of patients,
    or of notes with `by="note"`; `pool` says how notes make the score of their patient, see
    `scoring.pooling`. Where each patient has one note, these are the same.
    """

    def __init__(
        self,
        manifest: Manifest,
        segments: Sequence[Segment],
        *,
        bm25: BM25Settings | None = None,
        engine: Engine = "auto",
        threads: int = 1,
        by: Unit = "patient",
        pool: str = "max",
    ) -> None:
        self.manifest = manifest
        self.analyzer = Analyzer(manifest.analysis)
        self._segments = segments
        self._engine: Engine = engine
        self._threads = threads
        self._statistics = Statistics(segments, manifest.notes)
        self.average_length = manifest.tokens / manifest.notes if manifest.notes else 0.0
        self._table = PatientTable(segments)
        self.by, self.pool = by, pool
        self._use_bm25(bm25 or manifest.bm25)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        bm25: BM25Settings | None = None,
        engine: Engine = "auto",
        threads: int = 1,
    ) -> "Index":
        """Opens the committed state. `bm25` overrides the k1 and b stored in the index.

        Raises IndexFolderError if there is no index, or if it is damaged or too new.
        """
        for attempt in range(_OPEN_ATTEMPTS):
            manifest = read_manifest(Path(folder))
            try:
                segments = [Segment(Path(folder), s, manifest.layout) for s in manifest.segments]
            except IndexFolderError:
                # A writer may have committed, and removed old files, since the manifest was read.
                if read_manifest(Path(folder)) == manifest or attempt == _OPEN_ATTEMPTS - 1:
                    raise
                continue
            return cls(manifest, segments, bm25=bm25, engine=engine, threads=threads)
        raise IndexFolderError(f"{folder}: the index changes too fast to be opened")

    def with_bm25(self, k1: float | None = None, b: float | None = None) -> "Index":
        """The same state with other BM25 parameters (None keeps one); shares the open files."""
        k1, b = self.bm25.k1 if k1 is None else k1, self.bm25.b if b is None else b
        other = copy(self)
        other._use_bm25(BM25Settings(k1, b))  # noqa: SLF001 - a copy of this very class
        return other

    def with_unit(self, by: Unit | None = None, pool: str | None = None) -> "Index":
        """The same state with other hits: patients or notes, pooled in another way (None keeps it).

        Raises InputError for an unknown way to pool.
        """
        other = copy(self)
        other._use_unit(by or self.by, pool or self.pool)  # noqa: SLF001 - as above
        return other

    def _use_bm25(self, bm25: BM25Settings) -> None:
        average, engine = self.average_length, self._engine
        self.bm25 = bm25
        self._scorer = Scorer(self._segments, average, bm25, engine=engine, threads=self._threads)
        self._use_unit(self.by, self.pool)

    def _use_unit(self, by: Unit, pool: str) -> None:
        self.by, self.pool = by, pool
        scorer = PatientScorer(self._scorer, self._segments, self._table, pooled_notes(pool))
        pools = by == "patient" and self._table.own_notes
        # Where notes are patients, rankings of notes are those of patients.
        self._pooled = scorer if pools else None

    @property
    def size(self) -> int:
        """Number of live notes, which the statistics of terms count."""
        return self.manifest.notes

    @property
    def patient_count(self) -> int:
        """Number of patients with a live note."""
        return self._table.size

    @property
    def pools_notes(self) -> bool:
        """Whether hits are patients who may have several notes, with ids of their own."""
        return self._pooled is not None

    @property
    def digest(self) -> str:
        """Hash of the committed state: notes, deletions and stored settings."""
        return self.manifest.digest

    def search(self, text: str, k: int = 10, where: Filter | None = None) -> list[Hit]:
        """The k best hits for a text."""
        return self.search_many([Query("query", text)], k, where)[0]

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The k best hits of each query; only hits with a score above zero."""
        rankings = self.rank(queries, k, where)
        return [to_hits(self._segments, ranking, self.by) for ranking in rankings]

    def search_best_notes(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The hits of `search_many`, each patient under the id of their best note."""
        rankings = self.rank(queries, k, where)
        return [to_hits(self._segments, ranking, "note") for ranking in rankings]

    def rank(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[Ranking]:
        """The hits of `search_many` as arrays of note numbers, without looking up ids.

        A patient is represented by their best note.
        """
        return self.rank_terms([self.weigh(query) for query in queries], k, where)

    def weigh(self, query: Query) -> WeightedTerms:
        """The terms of a query that occur in the index, with their weights."""
        return self._statistics.weigh(query_counts(query, self.analyzer))

    def rank_terms(
        self, queries: Sequence[WeightedTerms], k: int = 10, where: Filter | None = None
    ) -> list[Ranking]:
        """`rank` for queries that `weigh` has already processed."""
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        where = where or Filter()
        excluded = self._table.notes_of_all(where.exclude_ids)
        # Excluded notes are dropped afterwards, so that masks are cached for the other conditions.
        depth = min(k + len(excluded), max(1, self.manifest.notes))
        conditions = _without_ids(where)
        ranker = self._scorer if self._pooled is None else self._pooled
        rankings = ranker.rank(queries, depth, conditions) if queries else []
        return [drop_notes(ranking, excluded, k) for ranking in rankings] if excluded else rankings

    def similar(
        self,
        patient_id: str,
        k: int = 10,
        where: Filter | None = None,
        *,
        other_articles: bool = False,
    ) -> list[Hit]:
        """The k hits most similar to all notes of a patient of the index, without any of them."""
        others = self.exclusion_filter(patient_id, where, other_articles=other_articles)
        text = self.with_unit("patient").text(patient_id)
        return self.search(text, k, others)

    def exclusion_filter(
        self, patient_id: str, where: Filter | None = None, *, other_articles: bool = False
    ) -> Filter:
        """`where`, which also excludes a patient of the index with all their notes.

        `other_articles` excludes all patients of the same article: those with the same PMID or,
        without that field, with the same id up to the last hyphen, as in PMC-Patients.
        """
        where = where or Filter()
        where = replace(where, exclude_ids=where.exclude_ids | {patient_id})
        notes = self.notes(patient_id)
        return exclude_article(notes, where, self._segments) if other_articles else where

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The exact one-based ranks of hits in the complete ranking of each query.

        None for an id that is not in the index, is filtered out, or scores zero.
        """
        filters = where or [None] * len(queries)
        return [
            self._ranks_of_query(self.weigh(query), ids, condition or Filter())
            for query, ids, condition in zip(queries, doc_ids, filters, strict=True)
        ]

    def explain(self, query: Query | WeightedTerms, doc_id: str) -> Explanation:
        """The share of each term in the score of a note, or of a patient's best note.

        To explain many hits of a query, pass what `weigh` returns for it.
        """
        weighted = self.weigh(query) if isinstance(query, Query) else query
        s, note = self._best_place(weighted, self._places(doc_id))
        segment = self._segments[s]
        explained = explain_score(segment, s, note, weighted, self.average_length, self.bm25)
        return explained._replace(doc_id=doc_id)

    def explain_many(self, query: Query, doc_ids: Sequence[str]) -> list[Explanation]:
        """The share of each term in the scores of several hits."""
        weighted = self.weigh(query)
        return [self.explain(weighted, doc_id) for doc_id in doc_ids]

    def match_notes(
        self, query: Query, doc_ids: Sequence[str], where: Filter | None = None
    ) -> list[NoteMatches]:
        """The notes behind hits of a query under a filter: the best one, and how many match."""
        weighted, conditions = self.weigh(query), _without_ids(where or Filter())
        return [self._match(weighted, self._places(i), conditions) for i in doc_ids]

    def patient(self, doc_id: str) -> Patient:
        """The patient with an id, by their first note, or the note. Raises NotFoundError."""
        return self._stored(self._places(doc_id)[0])

    def note(self, note_id: str) -> Patient:
        """The note with an id, with what is known of its patient. Raises NotFoundError."""
        return self._stored(self._place_of_note(note_id))

    def notes(self, patient_id: str) -> list[Patient]:
        """All notes of a patient, in the order they were added. Raises NotFoundError."""
        return [self._stored(place) for place in self._places_of_patient(patient_id)]

    def describe(self) -> dict[str, Any]:
        """Size, settings and origin of the index, for display."""
        return describe_state(
            self.manifest, self._segments, self.patient_count, self.average_length, self.bm25
        )

    def patients_of(self, note_ids: Sequence[str]) -> list[str]:
        """The ids of the patients of notes. Raises NotFoundError."""
        return [self._table.id_of(self._place_of_note(note_id)) for note_id in note_ids]

    def facets(self, field: str, where: Filter | None = None) -> list[Facet]:
        """The values of a field with the numbers of patients and notes, most notes first.

        Only notes that pass `where` count. Raises InputError for a field that no note has.
        """
        masks = self._scorer.allowed_masks(where or Filter())
        return count_facets(self._segments, masks, self._table.numbers, field)

    def unreadable_values(self, where: Filter) -> list[tuple[str, int]]:
        """Fields of the conditions, with the numbers of notes whose value cannot be compared."""
        return count_unreadable(self._segments, where)

    def patients(self) -> Iterator[Patient]:
        """All live notes with what is known of their patients, in the order they were added."""
        for segment in self._segments:
            mask = segment.live_mask
            for note, patient in enumerate(segment.store):
                if mask is None or mask[note]:
                    yield patient

    def __contains__(self, doc_id: object) -> bool:
        if not isinstance(doc_id, str):
            return False
        if self.by == "patient":
            return bool(self._table.notes(doc_id))
        return find_note(self._segments, doc_id) is not None

    def text(self, doc_id: str) -> str:
        """The title and text of a note, or of all notes of a patient, as indexed."""
        return "\n".join(self._stored(place).full_text for place in self._places(doc_id))

    def term_vector(self, doc_id: str) -> Mapping[str, int]:
        """Index terms of a note, or of all notes of a patient, with their frequencies."""
        counts: dict[str, int] = {}
        for term in self.analyzer.terms(self.text(doc_id)):
            counts[term] = counts.get(term, 0) + 1
        return counts

    def document_frequency(self, term: str) -> int:
        """Number of live notes whose text contains an index term."""
        return self._statistics.document_frequency(term)

    def terms(self, text: str) -> list[str]:
        """The index terms that a text asks for, in order."""
        return self.analyzer.query_terms(text)

    def words(self, text: str) -> list[str]:
        """The words behind `terms`, in lower case, with stop words and not stemmed."""
        return self.analyzer.query_words(text)

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, term) of each indexed word of a text, for highlighting."""
        return self.analyzer.spans(text)

    def _stored(self, place: Place) -> Patient:
        return self._segments[place[0]].store[place[1]]

    def _places(self, doc_id: str) -> list[Place]:
        """The notes behind an id: that note or, by patient, all of the patient's."""
        if self.by == "note":
            return [self._place_of_note(doc_id)]
        return self._places_of_patient(doc_id)

    def _place_of_note(self, note_id: str) -> Place:
        place = find_note(self._segments, note_id)
        if place is None:
            raise NotFoundError(
                f"no note {describe_patient_id(note_id)} in this index",
                hint="see the ids: index info --ids",
            )
        return place

    def _places_of_patient(self, patient_id: str) -> list[Place]:
        places = self._table.notes(patient_id)
        if not places:
            raise NotFoundError(
                f"no patient {describe_patient_id(patient_id)} in this index",
                hint="see the ids: index info --ids",
            )
        return places

    def _best_place(self, query: WeightedTerms, places: Sequence[Place]) -> Place:
        """The note that scores highest; of equal ones that with the last id."""
        if len(places) == 1:
            return places[0]
        return max(
            places,
            key=lambda place: (
                self._scorer.score_of(query, *place),
                self._segments[place[0]].ids[place[1]],
            ),
        )

    def _match(
        self, query: WeightedTerms, places: Sequence[Place], conditions: Filter
    ) -> NoteMatches:
        allowed = [place for place in places if self._is_allowed(place, conditions)]
        matched = allowed
        if len(places) > 1:
            matched = [place for place in allowed if self._scorer.score_of(query, *place) > 0]
        best = self._stored(self._best_place(query, matched or allowed or places))
        dates = {self._stored(place).date for place in matched} - {""}
        return NoteMatches(best.patient_id, best.document_id, len(matched), tuple(sorted(dates)))

    def _is_allowed(self, place: Place, conditions: Filter) -> bool:
        mask = self._scorer.allowed_mask(place[0], conditions)
        return mask is None or bool(mask[place[1]])

    def _ranks_of_query(
        self, query: WeightedTerms, doc_ids: Sequence[str], where: Filter
    ) -> list[int | None]:
        conditions = _without_ids(where)
        excluded = self._table.notes_of_all(where.exclude_ids)
        places = [
            [
                place
                for place in (self._places(doc_id) if doc_id in self else ())
                if place not in excluded and self._is_allowed(place, conditions)
            ]
            for doc_id in doc_ids
        ]
        if self._pooled is not None:
            return self._pooled.ranks(query, places, excluded, conditions)
        single = [held[0] if held else None for held in places]
        return rank_notes(self._scorer, self._segments, query, single, excluded, conditions)


def _without_ids(where: Filter) -> Filter:
    return replace(where, exclude_ids=frozenset()) if where.exclude_ids else where
