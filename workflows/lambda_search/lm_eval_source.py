"""A task of lm-evaluation-harness, whose items merges are judged by."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from evaluator.selection import (
    Candidate,
    CandidateEvaluator,
    Indices,
    Instances,
    InstanceScorer,
    MeanMetric,
    Metric,
    ScoreStore,
)
from evaluator.selection.instances import Floats
from workflows.lm_evaluation import HarnessModel, HarnessTask, TaskName

from .live_merges import LiveMerge

ITEMS_AT_ONCE = 64


@dataclass(frozen=True, eq=False, repr=False)
class LmEvalSource:
    """The items of a task of lm-evaluation-harness, and one of its metrics. Never prints itself."""

    task: HarnessTask

    curves = ()
    proxies = ()

    @classmethod
    def read(
        cls, name: str, *, folder: Path | str | None = None, items: int | None = None
    ) -> "LmEvalSource":
        """The task TASK, by default by its first metric; TASK:METRIC or TASK:METRIC,FILTER.

        `folder` has YAML files of tasks, `items` is the number of items, the first ones. Raises as
        `HarnessTask.load`.
        """
        place = None if folder is None else Path(folder)
        return cls(HarnessTask.load(TaskName.parse(name), place, items))

    @property
    def metric(self) -> Metric:
        """See InstanceSource; its direction is that of the task."""
        return MeanMetric(self.task.title, lower_is_better=not self.task.higher_is_better)

    @cached_property
    def instances(self) -> Instances:
        """See InstanceSource. Items that occur twice share a fold."""
        digests = self.task.keys
        repeats = {digest: count() for digest in digests}
        keys = [f"{digest}#{next(repeats[digest])}" for digest in digests]
        return Instances.build(digests, keys=keys, unit="items")

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        return {"task": f"{self.task.title}, lm-evaluation-harness"}

    @contextmanager
    def open_evaluator(self, live: LiveMerge) -> Iterator[CandidateEvaluator]:
        """See InstanceSource."""
        model = HarnessModel(live.model, live.model.description.context)

        def score_by(candidate: Candidate) -> InstanceScorer:
            live.apply(candidate)

            def score(indices: Indices) -> Floats:
                return self.task.score(model, indices.tolist())

            return live.with_progress(candidate, score)

        with ScoreStore(live.store_path("scores")) as store:
            yield CandidateEvaluator(
                score_by,
                self.instances,
                digest=repr((live.digest, "lm-eval", self.task.digest)),
                store=store,
                batch_size=ITEMS_AT_ONCE,
            )
