"""Stays of a cohort, about which a merge answers whether the patient dies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evaluator.cohorts import read_templates
from evaluator.mortality.answer_store import AnswerStore
from evaluator.mortality.answering import answer_questions
from evaluator.mortality.predictions import prediction_from_answers
from evaluator.mortality.question import PAPER_QUESTION
from evaluator.selection import (
    ANSWER_ENTROPY,
    MORTALITY_METRICS,
    Candidate,
    CandidateEvaluator,
    Indices,
    Instances,
    InstanceScorer,
    InstanceScores,
    Metric,
    ScorerFactory,
    build_metric,
)
from evaluator.statistics.discrimination import answer_values
from workflows.monitor import Accumulator
from workflows.stays import StayRecords, StaySample, parse_tasks, sample_notes, sample_stays

from .live_merges import LiveMerge


@dataclass(frozen=True, repr=False)
class StaySource:
    """A sample of stays, and the sections of their records. Never prints itself."""

    stays: StaySample
    task: str
    sections: tuple[str, ...]
    metric: Metric

    @classmethod
    def read(
        cls,
        path: Path | str,
        *,
        metric: str | None = None,
        sections: str = "mortality",
        sample: int | None = None,
        seed: int = 0,
    ) -> "StaySource":
        """The stays of a cohort file, or `sample` of them with the cohort's share of deaths.

        Raises EvaluationError for a metric that is not one of mortality.
        """
        (names,) = parse_tasks([sections]).values()
        stays = sample_stays(path, sample, seed=seed, stratified=True)
        return cls(stays, sections, names, build_metric("stays", metric))

    @cached_property
    def records(self) -> Sequence[Sequence[str]]:
        """The sections of each stay as text."""
        return list(StayRecords(self.stays, self.sections, read_templates(None)))

    @property
    def curves(self) -> tuple[Metric, ...]:
        """See InstanceSource."""
        return tuple(MORTALITY_METRICS.values())

    @property
    def proxies(self) -> tuple[Metric, ...]:
        """See InstanceSource."""
        return (ANSWER_ENTROPY,)

    @property
    def instances(self) -> Instances:
        """See InstanceSource."""
        outcomes = self.stays.outcomes
        return Instances.build(outcomes.patients, labels=outcomes.died)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        empty = sum(not record for record in self.records)
        return sample_notes(self.stays, {self.task: self.sections}, empty={self.task: empty})

    @contextmanager
    def open_evaluator(self, live: LiveMerge) -> Iterator[CandidateEvaluator]:
        """See InstanceSource."""
        instances = self.instances
        with AnswerStore(live.store_path("answers")) as store:
            factory = _answer_scorers(live, self.records, store)
            yield CandidateEvaluator(factory, instances, batch_size=max(len(instances), 1))


def _answer_scorers(
    live: LiveMerge, records: Sequence[Sequence[str]], store: AnswerStore
) -> ScorerFactory:
    """A factory of scorers of stays: log-odds of yes, and the answer that was written."""

    def score_by(candidate: Candidate) -> InstanceScorer:
        live.apply(candidate)

        def score(indices: Indices) -> InstanceScores:
            chosen = [records[index] for index in indices.tolist()]
            with live.progress(candidate, len(chosen)) as progress:
                count = Accumulator(progress)
                answers = answer_questions(
                    live.model,
                    chosen,
                    PAPER_QUESTION,
                    store,
                    on_progress=lambda step: count(step.stays),
                )
            prediction = prediction_from_answers(answers, PAPER_QUESTION)
            return InstanceScores(prediction.log_odds, answer_values(prediction.answers))

        return score

    return score_by
