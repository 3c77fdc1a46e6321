"""What else is measured of every candidate beside the metric: perplexities, and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator.selection import Candidate, RetentionCurve, measure_retention
from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import UsageError

from .live_merges import LiveMerge
from .lm_eval_source import LmEvalSource
from .sources import InstanceSource
from .text_source import TextSource


@dataclass(frozen=True)
class RetentionMeasure:
    """A figure of every candidate by its name: the metric of a source of instances."""

    name: str
    source: InstanceSource

    @classmethod
    def from_texts(cls, path: Path | str) -> "RetentionMeasure":
        """The perplexity of the paragraphs (or lines) of a file."""
        return cls(f"perplexity of {Path(path).name}", TextSource.read(path))

    @classmethod
    def from_lm_eval(
        cls, name: str, *, folder: Path | str | None = None, items: int | None = None
    ) -> "RetentionMeasure":
        """A metric of a task of lm-evaluation-harness; the arguments are those of LmEvalSource."""
        source = LmEvalSource.read(name, folder=folder, items=items)
        return cls(source.task.title, source)

    @property
    def note(self) -> str:
        """The name, and the number of instances."""
        instances = self.source.instances
        return f"{self.name} ({len(instances):,} {instances.unit})"

    def check(self, live: LiveMerge) -> None:
        """Raise PatientDxError for what the live model cannot be measured on."""
        with self.source.open_evaluator(_own_store(live)):
            pass

    def measure(
        self, live: LiveMerge, candidates: Sequence[Candidate], resampling: Resampling
    ) -> RetentionCurve:
        """The figure of each candidate; scores are kept on disk as they come."""
        with self.source.open_evaluator(_own_store(live)) as evaluator:
            return measure_retention(
                self.name, evaluator, self.source.metric, candidates, resampling
            )


def require_distinct_names(measures: Sequence[RetentionMeasure]) -> None:
    """Raise UsageError for two measures of the same name, which reports could not keep apart."""
    names = [measure.name for measure in measures]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"retention is measured twice by {twice}", hint="name another one")


def _own_store(live: LiveMerge) -> LiveMerge:
    """A live merge whose scores go to a file beside that of the answers, if a file is named."""
    if live.store is None:
        return live
    return replace(live, store=live.store.with_name(f"{live.store.name}.retention"))
