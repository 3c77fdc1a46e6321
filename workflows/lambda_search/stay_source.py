"""Stays of a cohort, about which a merge answers whether the patient dies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .live_merges import LiveMerge

if TYPE_CHECKING:
    from evaluator.cohorts import Cohort
    from evaluator.mortality.predictions import Outcomes
    from evaluator.selection import Candidate, Factory, Instances, Ledger, Metric, Ratings, Scorer


@dataclass(frozen=True, repr=False)
class StaySource:
    """Stays of a cohort at some places, and the sections of their records. Never prints itself."""

    cohort: "Cohort"
    places: tuple[int, ...]
    task: str
    sections: tuple[str, ...]
    seed: int
    metric: "Metric"

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
        from evaluator.cohorts import parse_sections, read_cohort
        from evaluator.mortality.sampling import draw_places
        from evaluator.selection import metric_named

        decisive, chosen = metric_named(metric or "auroc"), tuple(parse_sections(sections))
        cohort = read_cohort(Path(path))
        places = range(len(cohort)) if sample is None else draw_places(cohort.died, sample, seed)
        return cls(cohort, tuple(places), sections, chosen, seed, decisive)

    @cached_property
    def outcomes(self) -> "Outcomes":
        """Who died, and of which patient each stay is. Raises EvaluationError for no stay."""
        from evaluator.mortality.predictions import Outcomes

        return Outcomes.of(self.cohort, self.places)

    @cached_property
    def records(self) -> Sequence[Sequence[str]]:
        """The sections of each stay as text."""
        from evaluator.cohorts import read_templates, render

        templates, chosen = read_templates(None), set(self.places)
        return [
            [section.text for section in render(stay, self.sections, templates=templates)]
            for place, stay in enumerate(self.cohort)
            if place in chosen
        ]

    @property
    def curves(self) -> "tuple[Metric, ...]":
        """See InstanceSource."""
        from evaluator.selection import METRICS

        return tuple(METRICS.values())

    @property
    def instances(self) -> "Instances":
        """See InstanceSource."""
        from evaluator.selection import Instances

        return Instances.of(self.outcomes.patients, labels=self.outcomes.died)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        notes = {
            "cohort": str(self.cohort.path),
            "sections": f"{self.task}: {', '.join(self.sections)}",
        }
        if len(self.places) < len(self.cohort):
            notes["sample"] = (
                f"{len(self.places):,} of {len(self.cohort):,}, stratified by outcome, "
                f"seed {self.seed}"
            )
        empty = sum(not record for record in self.records)
        if empty:
            notes["empty records"] = f"{empty:,} ({self.task}): asked about all the same"
        return notes

    @contextmanager
    def open_ledger(self, live: LiveMerge) -> "Iterator[Ledger]":
        """See InstanceSource."""
        from evaluator.mortality.answer_store import AnswerStore
        from evaluator.selection import Ledger

        instances = self.instances
        with AnswerStore(live.store_path("answers")) as store:
            factory = _answer_scorers(live, self.records, store)
            yield Ledger(factory, instances, at_once=max(len(instances), 1))


def _answer_scorers(live: LiveMerge, records: Sequence[Sequence[str]], store: Any) -> "Factory":
    """A factory of scorers of stays: log-odds of yes, and the answer that was written."""
    from evaluator.mortality.predictions import prediction_of
    from evaluator.mortality.question import PAPER
    from evaluator.mortality.scoring import ask
    from evaluator.selection import Ratings
    from evaluator.statistics.discrimination import hard_values
    from workflows.monitor import Accumulator

    def score_by(candidate: "Candidate") -> "Scorer":
        live.apply(candidate)

        def score(places: Any) -> "Ratings":
            chosen = [records[place] for place in places.tolist()]
            with live.progress(candidate, len(places)) as progress:
                count = Accumulator(progress)
                answers = ask(
                    live.model, chosen, PAPER, store, on_done=lambda step: count(step.stays)
                )
            prediction = prediction_of(answers, PAPER)
            return Ratings(prediction.odds, hard_values(prediction.answers))

        return score

    return score_by
