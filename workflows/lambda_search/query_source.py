"""Judged queries, which a merge expands; what counts is how good the hits are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from evaluator.selection import (
    Candidate,
    CandidateEvaluator,
    Instances,
    InstanceScorer,
    Metric,
    MetricOptions,
    ScorerFactory,
    ScoreStore,
    build_metric,
    query_instances,
    query_scorer,
    select_judged_queries,
)
from expander import (
    STRATEGIES,
    CachedGenerator,
    ReplyCache,
    StrategyResources,
    SystemSettings,
    read_prompt,
)
from expander.systems.system import parse_system
from patientdx.errors import ModelError, UsageError
from patientdx.protocols import PatientIndex
from patientdx.records import Query
from workflows.generators import reply_cache_path
from workflows.judgements import JudgedQueries, check_judged_notes
from workflows.monitor import LOG, Monitor
from workflows.own_notes import OwnNotes, OwnNotesChoice, find_own_notes
from workflows.systems import KEYWORDS_NOTE, SystemBuilder, index_notes, uses_generator

from .live_merges import LiveMerge

QUERIES_AT_ONCE = 256


@dataclass(frozen=True, repr=False)
class QuerySource:
    """Judged queries, and the system whose language model is the merge. Never prints itself."""

    judged: JudgedQueries
    queries: tuple[Query, ...]
    index: PatientIndex
    system: SystemSettings
    depth: int
    metric: Metric
    own_notes: OwnNotes
    missing_notes: Mapping[str, str]

    curves = ()
    proxies = ()

    @classmethod
    def read(
        cls,
        judged: JudgedQueries,
        index: PatientIndex,
        *,
        system: str = "rrf(bm25,keywords)",
        depth: int = 1000,
        metric: str | None = None,
        own_notes: OwnNotesChoice = "auto",
        monitor: Monitor = LOG,
    ) -> "QuerySource":
        """The queries that have judgements. Raises as `check` and `check_judged_notes` do."""
        settings, decisive = cls.check(system, metric, depth)
        queries = tuple(select_judged_queries(judged.queries, judged.qrels))
        missing = check_judged_notes(index, judged, monitor)
        own = find_own_notes(index, judged, own_notes, monitor)
        return cls(judged, queries, index, settings, depth, decisive, own, missing)

    @staticmethod
    def check(
        system: str, metric: str | None = None, depth: int = 1000
    ) -> tuple[SystemSettings, Metric]:
        """The system and the metric of these names.

        Raises UsageError for a system that asks no language model or needs a vocabulary,
        EvaluationError for a measure that reads more than `depth` hits.
        """
        parsed = parse_system(system)
        if not uses_generator(parsed.strategies) or "synonyms" in parsed.strategies:
            raise UsageError(
                f"`{parsed}` is the same at every λ, or needs a vocabulary",
                hint="name a system that asks the model: --system 'rrf(bm25,keywords)'",
            )
        return SystemSettings(parsed), build_metric("queries", metric, MetricOptions(depth))

    @property
    def instances(self) -> Instances:
        """See InstanceSource."""
        return query_instances(self.queries, self.judged.qrels)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        notes = self.judged.notes() | dict(self.missing_notes) | dict(self.own_notes.notes)
        notes |= index_notes(self.index, self.system.k1, self.system.b)
        notes["system"] = f"{self.system}, each merge in turn; {notes['system']}"
        if self.system.system.parts:
            notes["fusion"] = (
                f"k of RRF {self.system.rrf_k:g}; RR of a fusion is over its hits only"
            )
        if "keywords" in self.system.system.strategies:
            notes["reconstructed"] = KEYWORDS_NOTE
        return notes

    @contextmanager
    def open_evaluator(self, live: LiveMerge) -> Iterator[CandidateEvaluator]:
        """See InstanceSource."""
        with (
            ScoreStore(live.store_path("scores")) as store,
            ReplyCache(reply_cache_path(live.cache)) as replies,
        ):
            yield CandidateEvaluator(
                self._scorers(live, replies),
                self.instances,
                digest=self._digest(live),
                store=store,
                batch_size=QUERIES_AT_ONCE,
            )

    def _digest(self, live: LiveMerge) -> str:
        """Names all that a stored score depends on, beside the candidate and the query."""
        names = sorted(self.system.system.strategies)
        settings = [STRATEGIES[name].Settings() for name in names]
        prompts = [read_prompt(name) for name in names if uses_generator([name])]
        system = (self.metric.name, self.system, settings, prompts, self.depth)
        # Scores of earlier versions are of rankings without any query's own note.
        ranked = (sorted(self.own_notes.ranked),) if self.own_notes.ranked else ()
        return repr((live.digest, system, self.index.digest, self.index.bm25, *ranked))

    def _scorers(self, live: LiveMerge, replies: ReplyCache) -> ScorerFactory:
        """A factory of scorers of queries, expanded by the merge."""

        def fail(error: ModelError, _: int) -> None:
            # A query that went on unexpanded would be counted as this λ's, and kept.
            raise error

        def score_by(candidate: Candidate) -> InstanceScorer:
            live.apply(candidate)
            generator = CachedGenerator(live.model, replies, on_failure=fail)
            resources = StrategyResources(
                generator=generator, searcher=self.index, corpus=self.index
            )
            builder = SystemBuilder(self.index, resources)
            searcher = builder.build_searcher(self.system, self.depth)
            score = query_scorer(
                searcher,
                self.queries,
                self.judged.qrels,
                self.metric.name,
                self.depth,
                self.own_notes.dropped,
            )
            return live.with_progress(candidate, score)

        return score_by
