"""Judged queries, which a merge expands; what counts is how good the hits are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patientdx.errors import ModelError, UsageError
from patientdx.records import Qrels, Query

from .live_merges import LiveMerge

if TYPE_CHECKING:
    from evaluator.selection import Candidate, Factory, Instances, Ledger, Metric, Scorer
    from expander import ReplyCache, StrategyResources, SystemSettings
    from indexer.index import Index
    from patientdx.protocols import Searcher

QUERIES_AT_ONCE = 256
KEYWORDS_NOTE = "the prompt of `keywords` is reconstructed from a translation of the paper"


@dataclass(frozen=True, repr=False)
class QuerySource:
    """Judged queries, and the system whose language model is the merge. Never prints itself."""

    queries_path: Path | str
    qrels_path: Path | str
    queries: tuple[Query, ...]
    qrels: Qrels
    index: "Index"
    system: "SystemSettings"
    depth: int
    metric: "Metric"

    curves = ()

    @classmethod
    def read(
        cls,
        queries: Path | str,
        qrels: Path | str,
        index: "Index",
        *,
        system: str = "rrf(bm25,keywords)",
        depth: int = 1000,
        metric: str | None = None,
    ) -> "QuerySource":
        """The judged ones among the queries of a file. Raises as `check` does."""
        from evaluator.selection import judged_queries
        from patientdx.formats import read_qrels, read_queries

        settings, decisive = cls.check(system, metric, depth)
        judgements = read_qrels(qrels)
        judged = tuple(judged_queries(read_queries(queries), judgements))
        return cls(queries, qrels, judged, judgements, index, settings, depth, decisive)

    @staticmethod
    def check(
        system: str, metric: str | None = None, depth: int = 1000
    ) -> "tuple[SystemSettings, Metric]":
        """The system and the metric of these names.

        Raises UsageError for a system that asks no language model or needs a vocabulary,
        EvaluationError for a measure that reads more than `depth` hits.
        """
        from evaluator.selection import retrieval_metric
        from expander import STRATEGIES, SystemSettings
        from expander.systems.system import parse_system

        parsed = parse_system(system)
        needs = {
            need
            for name in parsed.strategies & STRATEGIES.keys()
            for need in STRATEGIES[name].needs
        }
        if "generator" not in needs or "vocabulary" in needs:
            raise UsageError(
                f"`{parsed}` is the same at every λ, or needs a vocabulary",
                hint="name a system that asks the model: --system 'rrf(bm25,keywords)'",
            )
        return SystemSettings(parsed), retrieval_metric(metric or "nDCG@10", depth)

    @property
    def instances(self) -> "Instances":
        """See InstanceSource."""
        from evaluator.selection import query_instances

        return query_instances(self.queries, self.qrels)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        index, bm25 = self.index, self._tuned_index().bm25
        analysis, system = index.manifest.analysis, self.system.system
        notes = {
            "queries": str(self.queries_path),
            "qrels": str(self.qrels_path),
            "corpus": f"{index.size:,} patients, index {index.manifest.digest[:12]}",
            "system": f"{self.system}, each merge in turn; bm25: k1 {bm25.k1}, b {bm25.b}, "
            f"stop words {analysis.stopwords}, stemmer {analysis.stemmer}; identical ids dropped; "
            "RR over the whole ranking",
        }
        if system.parts:
            notes["fusion"] = (
                f"k of RRF {self.system.rrf_k:g}; RR of a fusion is over its hits only"
            )
        if "keywords" in system.strategies:
            notes["reconstructed"] = KEYWORDS_NOTE
        return notes

    @contextmanager
    def open_ledger(self, live: LiveMerge) -> "Iterator[Ledger]":
        """See InstanceSource."""
        from evaluator.selection import Ledger, ScoreStore
        from expander import ReplyCache

        with (
            ScoreStore(live.store_path("scores")) as store,
            ReplyCache(live.cache / "expansions.sqlite3") as replies,
        ):
            yield Ledger(
                self._scorers(live, replies),
                self.instances,
                digest=self._digest(live),
                store=store,
                at_once=QUERIES_AT_ONCE,
            )

    def _digest(self, live: LiveMerge) -> str:
        """Names all that a stored score depends on, beside the candidate and the query."""
        from expander import STRATEGIES, read_prompt

        names = sorted(self.system.system.strategies)
        settings = [STRATEGIES[name].Settings() for name in names]
        prompts = [read_prompt(name) for name in names if "generator" in STRATEGIES[name].needs]
        system = (self.metric.name, self.system, settings, prompts, self.depth)
        return repr((live.digest, system, self.index.manifest.digest, self.index.bm25))

    def _scorers(self, live: LiveMerge, replies: "ReplyCache") -> "Factory":
        """A factory of scorers of queries, expanded by the merge."""
        from evaluator.selection import query_scorer
        from expander import CachedGenerator, StrategyResources

        def fail(error: ModelError, _: int) -> None:
            # A query that went on unexpanded would be counted as this λ's, and kept.
            raise error

        def score_by(candidate: "Candidate") -> "Scorer":
            live.apply(candidate)
            generator = CachedGenerator(live.model, replies, on_failure=fail)
            index = self._tuned_index()
            resources = StrategyResources(generator=generator, searcher=index, corpus=index)
            searcher = self._build_searcher(index, resources)
            score = query_scorer(searcher, self.queries, self.qrels, self.metric.name, self.depth)
            return live.with_progress(candidate, score)

        return score_by

    def _tuned_index(self) -> "Index":
        from indexer.bm25 import BM25Settings

        k1, b, own = self.system.k1, self.system.b, self.index.bm25
        if k1 is None and b is None:
            return self.index
        return self.index.with_settings(
            BM25Settings(own.k1 if k1 is None else k1, own.b if b is None else b)
        )

    def _build_searcher(self, index: "Index", resources: "StrategyResources") -> "Searcher":
        from expander import PhraseSearcher, make_strategy
        from expander.systems.system import build_system

        system = self.system
        phrases = system.phrases(index.bm25.k1, index.bm25.b)
        return build_system(
            system.system,
            index,
            lambda name: make_strategy(name, resources, system.of(name)),
            phrases=PhraseSearcher(phrases, searcher=index, corpus=index),
            rrf_k=system.rrf_k,
            depth=self.depth,
        )
