"""What `tune-merge` chooses by: stays of a cohort, judged queries, or texts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from patientdx.errors import ModelError, UsageError
from patientdx.records import Qrels, Query

from . import asking, expansion, judged, options, output
from .mortality_work import Work, open_work

if TYPE_CHECKING:
    from evaluator.selection import (
        Candidate,
        CandidateEvaluator,
        Instances,
        Metric,
        ScorerFactory,
        Text,
    )
    from expander import SystemSettings
    from indexer.index import Index
    from merger.live.merged_model import MergedModel

    Swap = Callable[[Candidate], object]

QUERIES_AT_ONCE = 256
TEXTS_AT_ONCE = 64


class Live(NamedTuple):
    """A live merge, what makes it a candidate, and a digest of all that candidates share.

    `kept` is the file that keeps answers or scores, None for that in the cache folder.
    """

    model: "MergedModel"
    swap: "Swap"
    digest: str
    kept: Path | None
    quiet: bool


class Source(Protocol):
    """Instances to choose by, and the metric that decides."""

    @property
    def metric(self) -> "Metric":
        """What decides."""
        ...

    @property
    def curves(self) -> "tuple[Metric, ...]":
        """What is shown along λ besides."""
        ...

    @property
    def instances(self) -> "Instances":
        """What is dealt into folds, before there is a model; sizes may be missing."""
        ...

    def notes(self) -> dict[str, str]:
        """What a report says of them."""
        ...

    def ledger(self, live: Live) -> "AbstractContextManager[CandidateEvaluator]":
        """A ledger over a live merge; what it says is kept on disk as it comes."""
        ...


@dataclass(frozen=True)
class Stays:
    """Stays of a cohort: does the patient die?"""

    work: Work
    metric: "Metric"

    @property
    def curves(self) -> "tuple[Metric, ...]":
        """See Source."""
        from evaluator.selection import MORTALITY_METRICS

        return tuple(MORTALITY_METRICS.values())

    @property
    def instances(self) -> "Instances":
        """See Source."""
        from evaluator.selection import Instances

        return Instances.build(self.work.outcomes.patients, labels=self.work.outcomes.died)

    def notes(self) -> dict[str, str]:
        """See Source."""
        return self.work.notes()

    @contextmanager
    def ledger(self, live: Live) -> "Iterator[CandidateEvaluator]":
        """See Source."""
        from evaluator.mortality.answer_store import AnswerStore
        from evaluator.selection import CandidateEvaluator

        instances, (task,) = self.instances, self.work.tasks
        with AnswerStore(_kept(live, "answers")) as store:
            factory = _asking(live, list(self.work.records(task)), store)
            yield CandidateEvaluator(factory, instances, batch_size=max(len(instances), 1))


def _asking(live: Live, records: Sequence[Sequence[str]], store: Any) -> "ScorerFactory":
    """λ into a scorer of stays: log-odds of yes, and the answer that was written."""
    from evaluator.mortality.answering import answer_questions
    from evaluator.mortality.predictions import prediction_from_answers
    from evaluator.mortality.question import PAPER_QUESTION
    from evaluator.selection import InstanceScores
    from evaluator.statistics.discrimination import hard_values

    def ready(candidate: "Candidate") -> Any:
        live.swap(candidate)

        def score(places: Any) -> InstanceScores:
            with _progress(live, candidate, len(places)) as tick:
                done = [0]

                def told(step: Any) -> None:
                    done[0] += step.stays
                    tick(done[0])

                chosen = [records[place] for place in places.tolist()]
                found = prediction_from_answers(
                    answer_questions(live.model, chosen, PAPER_QUESTION, store, on_progress=told),
                    PAPER_QUESTION,
                )
            return InstanceScores(found.log_odds, hard_values(found.answers))

        return score

    return ready


@dataclass(frozen=True)
class JudgedQueries:
    """Queries that each merge expands, and what its hits are worth."""

    files: judged.Sources
    queries: list[Query]
    qrels: Qrels
    index: "Index"
    system: "SystemSettings"
    depth: int
    metric: "Metric"

    curves = ()

    @property
    def instances(self) -> "Instances":
        """See Source."""
        from evaluator.selection import query_instances

        return query_instances(self.queries, self.qrels)

    def notes(self) -> dict[str, str]:
        """See Source."""
        from workflows.systems import index_notes

        told = index_notes(self.index, self.system.k1, self.system.b)
        told["system"] = f"{self.system}, each merge in turn; {told['system']}"
        if self.system.system.parts:
            told["fusion"] = f"k of RRF {self.system.rrf_k:g}; RR of a fusion is over its hits only"
        if "keywords" in self.system.system.strategies:
            told["reconstructed"] = expansion.RECONSTRUCTED
        return {"queries": str(self.files.queries), "qrels": str(self.files.qrels), **told}

    @contextmanager
    def ledger(self, live: Live) -> "Iterator[CandidateEvaluator]":
        """See Source."""
        from evaluator.selection import CandidateEvaluator, ScoreStore
        from expander import STRATEGIES, ReplyCache, read_prompt

        names = sorted(self.system.system.strategies)
        numbers = [STRATEGIES[name].Settings() for name in names]
        words = [read_prompt(name) for name in names if name in expansion.PROMPTED]
        asked = (self.metric.name, self.system, numbers, words, self.depth)
        digest = repr((live.digest, asked, self.index.digest, self.index.bm25))
        with ScoreStore(_kept(live, "scores")) as store, ReplyCache(asking.cache_path()) as replies:
            factory = self._factory(live, replies)
            at_once = QUERIES_AT_ONCE
            yield CandidateEvaluator(
                factory, self.instances, digest=digest, store=store, batch_size=at_once
            )

    def _factory(self, live: Live, replies: Any) -> "ScorerFactory":
        """λ into a scorer of queries, expanded by the merge."""
        from evaluator.selection import query_scorer
        from expander import CachedGenerator, StrategyResources

        def failed(error: ModelError, _: int) -> None:
            # A query that went on unexpanded would be counted as this λ's, and kept.
            raise error

        def ready(candidate: "Candidate") -> Any:
            live.swap(candidate)
            generator = CachedGenerator(live.model, replies, on_failure=failed)
            means = StrategyResources(generator=generator, searcher=self.index, corpus=self.index)
            searcher = expansion.built(self.system, self.index, means, self.depth)
            score = query_scorer(searcher, self.queries, self.qrels, self.metric.name, self.depth)
            return _told(live, candidate, score)

        return ready


@dataclass(frozen=True)
class Texts:
    """Texts that each merge foresees."""

    path: Path
    texts: "list[Text]"
    metric: "Metric"

    curves = ()

    @property
    def instances(self) -> "Instances":
        """See Source."""
        from evaluator.selection import text_instances

        return text_instances(self.texts)

    def notes(self) -> dict[str, str]:
        """See Source."""
        return {"texts": str(self.path)}

    @contextmanager
    def ledger(self, live: Live) -> "Iterator[CandidateEvaluator]":
        """See Source."""
        from evaluator.selection import (
            CandidateEvaluator,
            ScoreStore,
            text_instances,
            text_scorer,
            token_counts,
        )

        sizes = token_counts(self.texts, live.model.count, self.path)
        score = text_scorer(live.model, self.texts)

        def ready(candidate: "Candidate") -> Any:
            live.swap(candidate)
            return _told(live, candidate, score)

        with ScoreStore(_kept(live, "scores")) as store:
            digest = repr((live.digest, self.metric.name))
            instances = text_instances(self.texts, sizes)
            yield CandidateEvaluator(
                ready, instances, digest=digest, store=store, batch_size=TEXTS_AT_ONCE
            )


def cohort_source(
    path: Path, metric: str | None, sections: str, sample: int | None, seed: int, *, quiet: bool
) -> Stays:
    """Stays of a cohort file. Raises EvaluationError for another metric than of mortality."""
    from evaluator.selection import build_metric

    work = open_work(path, [sections], None, sample, seed, stratified=True, quiet=quiet)
    return Stays(work, build_metric("stays", metric))


def judged_source(
    files: judged.Sources, index: Path | None, system: str, depth: int, metric: str | None
) -> JudgedQueries:
    """Judged queries. Raises UsageError for a system that asks no language model."""
    from evaluator.selection import MetricOptions, build_metric, select_judged_queries
    from expander import SystemSettings
    from expander.systems.system import parse_system
    from patientdx.formats import read_qrels, read_queries

    parsed = parse_system(system)
    if not parsed.strategies & expansion.PROMPTED or "synonyms" in parsed.strategies:
        raise UsageError(
            f"`{parsed}` is the same at every λ, or needs a vocabulary",
            hint="name a system that asks the model: --system 'rrf(bm25,keywords)'",
        )
    decides = build_metric("queries", metric, MetricOptions(depth))
    qrels = read_qrels(files.qrels)
    queries = select_judged_queries(read_queries(files.queries), qrels)
    opened = options.open_index(index)
    return JudgedQueries(files, queries, qrels, opened, SystemSettings(parsed), depth, decides)


def text_source(path: Path, metric: str | None) -> Texts:
    """Texts of a file. Raises UsageError for another metric than perplexity."""
    from evaluator.selection import build_metric, read_texts

    if metric not in {None, "perplexity"}:
        raise UsageError(f"--text goes with --metric perplexity, not with `{metric}`")
    return Texts(path, read_texts(path), build_metric("texts", metric))


def _kept(live: Live, what: str) -> Path:
    return live.kept or options.settings().cache / f"{what}.sqlite3"


def _told(live: Live, candidate: "Candidate", score: Any) -> Any:
    """A scorer that shows that it is at work."""

    def telling(places: Any) -> Any:
        with _progress(live, candidate, len(places)) as tick:
            found = score(places)
            tick(len(places))
        return found

    return telling


def _progress(live: Live, candidate: "Candidate", total: int) -> Any:
    return output.progress(f"{live.model.name}: λ = {candidate}", total, quiet=live.quiet)
