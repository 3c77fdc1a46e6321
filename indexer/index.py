"""The `Index`: opens an index folder, searches it, finds similar patients, explains scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from patientdx.errors import IndexFolderError, InputError, NotFoundError, describe_patient_id
from patientdx.records import Explanation, Filter, Hit, Patient, Query

from .analysis import Analyzer
from .bm25 import BM25Settings
from .explain import explain_score
from .scoring.ranking import Ranking, ScoredNotes, sort_keys, to_hits
from .scoring.scorer import Engine, Scorer
from .scoring.statistics import Statistics, WeightedTerms, query_counts
from .segments.segment import Segment
from .storage.manifest import Manifest, read_manifest

_OPEN_ATTEMPTS = 5
ARTICLE_FIELDS = ("PMID", "pmid")


class Index:
    """A committed state of an index, opened for reading.

    Implements `PatientIndex` of `patientdx.protocols`. Scores are exact, see `bm25`. Changes
    committed after the index was opened are not visible to it.
    """

    def __init__(
        self,
        manifest: Manifest,
        segments: Sequence[Segment],
        *,
        bm25: BM25Settings | None = None,
        engine: Engine = "auto",
        threads: int = 1,
    ) -> None:
        self.manifest = manifest
        self.bm25 = bm25 or manifest.bm25
        self.analyzer = Analyzer(manifest.analysis)
        self._segments = segments
        self._engine: Engine = engine
        self._threads = threads
        self._statistics = Statistics(segments, manifest.notes)
        average = manifest.tokens / manifest.notes if manifest.notes else 0.0
        self.average_length = average
        self._scorer = Scorer(segments, average, self.bm25, engine=engine, threads=threads)

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
        bm25 = BM25Settings(self.bm25.k1 if k1 is None else k1, self.bm25.b if b is None else b)
        return Index(
            self.manifest, self._segments, bm25=bm25, engine=self._engine, threads=self._threads
        )

    @property
    def size(self) -> int:
        """Number of live patients."""
        return self.manifest.notes

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
        return [to_hits(self._segments, ranking) for ranking in rankings]

    def rank(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[Ranking]:
        """The hits of `search_many` as arrays of note numbers, without looking up ids."""
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
        excluded = len(where.exclude_ids)
        # Excluded ids are dropped afterwards, so that masks are cached for the other conditions.
        depth = min(k + excluded, max(1, self.manifest.notes))
        conditions = replace(where, exclude_ids=frozenset())
        rankings = self._scorer.rank(queries, depth, conditions) if queries else []
        if not excluded:
            return rankings
        return [self._drop_excluded(ranking, where.exclude_ids, k) for ranking in rankings]

    def similar(
        self,
        patient_id: str,
        k: int = 10,
        where: Filter | None = None,
        *,
        other_articles: bool = False,
    ) -> list[Hit]:
        """The k patients of the index most similar to one of its patients, without the latter."""
        without_self = self.exclusion_filter(patient_id, where, other_articles=other_articles)
        return self.search(self.text(patient_id), k, without_self)

    def exclusion_filter(
        self, patient_id: str, where: Filter | None = None, *, other_articles: bool = False
    ) -> Filter:
        """`where`, which also excludes a patient of the index.

        `other_articles` excludes all patients of the same article: those with the same PMID or,
        without that field, with the same id up to the last hyphen, as in PMC-Patients.
        """
        where = where or Filter()
        where = replace(where, exclude_ids=where.exclude_ids | {patient_id})
        return self._exclude_article(self.patient(patient_id), where) if other_articles else where

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The exact one-based ranks of patients in the complete ranking of each query.

        None for a patient that is not in the index, is filtered out, or scores zero.
        """
        filters = where or [None] * len(queries)
        return [
            self._ranks_of_query(self.weigh(query), ids, condition or Filter())
            for query, ids, condition in zip(queries, doc_ids, filters, strict=True)
        ]

    def explain(self, query: Query | WeightedTerms, doc_id: str) -> Explanation:
        """The share of each term in a patient's score.

        To explain many hits of a query, pass what `weigh` returns for it.
        """
        s, note = self._locate(doc_id)
        weighted = self.weigh(query) if isinstance(query, Query) else query
        return explain_score(self._segments[s], s, note, weighted, self.average_length, self.bm25)

    def explain_many(self, query: Query, doc_ids: Sequence[str]) -> list[Explanation]:
        """The share of each term in the scores of several patients."""
        weighted = self.weigh(query)
        return [self.explain(weighted, doc_id) for doc_id in doc_ids]

    def patient(self, doc_id: str) -> Patient:
        """The patient with an id. Raises NotFoundError."""
        s, note = self._locate(doc_id)
        return self._segments[s].store[note]

    def describe(self) -> dict[str, Any]:
        """Size, settings and origin of the index, for display."""
        manifest = self.manifest
        fields = sorted({f for segment in manifest.segments for f in segment.fields})
        return {
            "patients": manifest.notes,
            "tokens": manifest.tokens,
            "mean_length": round(self.average_length, 1),
            "segments": len(manifest.segments),
            "deleted": sum(s.notes - s.live_notes for s in manifest.segments),
            "corpus": list(manifest.corpus),
            "stop_words": manifest.analysis.stopwords,
            "stemmer": manifest.analysis.stemmer,
            "bm25": {"k1": self.bm25.k1, "b": self.bm25.b},
            "fields": fields,
            "generation": manifest.generation,
            "digest": manifest.digest,
            "software": manifest.software,
        }

    def patients(self) -> Iterator[Patient]:
        """All live patients, in the order they were added."""
        for segment in self._segments:
            mask = segment.live_mask
            for note, patient in enumerate(segment.store):
                if mask is None or mask[note]:
                    yield patient

    def __contains__(self, doc_id: object) -> bool:
        return isinstance(doc_id, str) and any(s.find(doc_id) is not None for s in self._segments)

    def text(self, doc_id: str) -> str:
        """The title and note of a patient, as indexed."""
        return self.patient(doc_id).full_text

    def term_vector(self, doc_id: str) -> Mapping[str, int]:
        """Index terms of a patient with their frequencies."""
        counts: dict[str, int] = {}
        for term in self.terms(self.text(doc_id)):
            counts[term] = counts.get(term, 0) + 1
        return counts

    def document_frequency(self, term: str) -> int:
        """Number of live patients whose text contains an index term."""
        return self._statistics.document_frequency(term)

    def terms(self, text: str) -> list[str]:
        """The index terms of a text, in order."""
        return self.analyzer.terms(text)

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, term) of each indexed word of a text, for highlighting."""
        return self.analyzer.spans(text)

    def _locate(self, doc_id: str) -> tuple[int, int]:
        for s, segment in enumerate(self._segments):
            note = segment.find(doc_id)
            if note is not None:
                return s, note
        raise NotFoundError(
            f"no patient {describe_patient_id(doc_id)} in this index",
            hint="see the ids: index info --ids",
        )

    def _drop_excluded(self, ranking: Ranking, excluded: frozenset[str], k: int) -> Ranking:
        dropped = {self._locate(i) for i in excluded if i in self}
        pairs = zip(ranking.segments.tolist(), ranking.notes.tolist(), strict=True)
        keep = [i for i, pair in enumerate(pairs) if pair not in dropped][:k]
        return Ranking(ranking.segments[keep], ranking.notes[keep], ranking.scores[keep])

    def _exclude_article(self, patient: Patient, where: Filter) -> Filter:
        for name in ARTICLE_FIELDS:
            if name in patient.metadata:
                same = (name, str(patient.metadata[name]))
                return replace(where, exclude_where=(*where.exclude_where, same))
        article, hyphen, _ = patient.patient_id.rpartition("-")
        if not hyphen:
            raise InputError(
                f"patient `{patient.patient_id}` names no article",
                hint="the article is read from the field PMID or from ids such as 8535945-4",
            )
        siblings = {i for s in self._segments for i in s.ids.with_prefix(article + "-")}
        return replace(where, exclude_ids=where.exclude_ids | siblings)

    def _ranks_of_query(
        self, query: WeightedTerms, doc_ids: Sequence[str], where: Filter
    ) -> list[int | None]:
        places = [self._locate_allowed(doc_id, where) for doc_id in doc_ids]
        conditions = replace(where, exclude_ids=frozenset())
        scores = [self._scorer.score_of(query, *place) if place else 0.0 for place in places]
        positive = [score for score in scores if score > 0]
        if not positive:
            return [None] * len(doc_ids)
        competitors = self._scorer.scores_at_least([query], [min(positive)], conditions)[0]
        excluded = [self._locate(i) for i in where.exclude_ids if i in self]
        return [
            self._rank_among(competitors, place, score, excluded) if place and score > 0 else None
            for place, score in zip(places, scores, strict=True)
        ]

    def _locate_allowed(self, doc_id: str, where: Filter) -> tuple[int, int] | None:
        if doc_id in where.exclude_ids or doc_id not in self:
            return None
        s, note = self._locate(doc_id)
        mask = self._scorer.allowed_mask(s, replace(where, exclude_ids=frozenset()))
        return (s, note) if mask is None or mask[note] else None

    def _rank_among(
        self,
        competitors: Sequence[ScoredNotes],
        place: tuple[int, int],
        score: float,
        excluded: Sequence[tuple[int, int]],
    ) -> int:
        """One-based rank of the note at `place` among the competitors, which lists each segment."""
        own = self._segments[place[0]].ids[place[1]]
        before = 0
        for s, scored in enumerate(competitors):
            segment = self._segments[s]
            ties = segment.ids.count_below(own) if s != place[0] else None
            rank = segment.ids.rank[place[1]] if ties is None else ties
            bits = np.float32(score).view(np.uint32)
            key = (np.uint64(bits) << np.uint64(32)) | np.uint64(rank)
            keys = sort_keys(segment, scored)
            above = keys > key if ties is None else keys >= key
            dropped = [note for segment_number, note in excluded if segment_number == s]
            if dropped:
                above &= ~np.isin(scored.notes, dropped)
            before += int(np.count_nonzero(above))
        return before + 1
