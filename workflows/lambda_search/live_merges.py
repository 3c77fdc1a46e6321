"""A merge held in memory, which becomes one candidate after the other."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluator.selection import Candidate, Indices, InstanceScorer
from merger.live.merged_model import MergedModel
from merger.planning.job import prepare_merge
from merger.vocabulary.output_tokenizer import files_of_base
from patientdx.errors import UsageError
from patientdx.models import ModelSettings
from patientdx.settings import Settings
from workflows.merge_recipes import ResolvedMerge
from workflows.merges import prepare_job
from workflows.monitor import Monitor, Progress

from .model_sets import ModelSet


@dataclass(frozen=True)
class LiveMerge:
    """The models of a set merged in memory, by one method or by that of each candidate.

    `digest` names what all candidates share: the inputs and the method. `store` is the file that
    keeps answers and scores; None puts it into the cache folder.
    """

    model: MergedModel
    models: ModelSet
    method: str | None
    digest: str
    store: Path | None
    cache: Path
    monitor: Monitor

    def apply(self, candidate: Candidate) -> None:
        """Mix the weights of a candidate."""
        method = self.method or self.models.method_of(candidate)
        self.model.remix(self.models.point(candidate), method=method)

    def store_path(self, kind: str) -> Path:
        """The file that keeps `kind`: answers or scores."""
        return self.store or self.cache / f"{kind}.sqlite3"

    def progress(self, candidate: Candidate, total: int) -> AbstractContextManager[Progress]:
        """Progress of scoring a candidate on `total` instances."""
        return self.monitor.progress(f"{self.model.name}: λ = {candidate}", total)

    def with_progress(self, candidate: Candidate, score: InstanceScorer) -> InstanceScorer:
        """The scorer, with its progress reported."""

        def score_and_report(indices: Indices) -> Any:
            with self.progress(candidate, len(indices)) as progress:
                scores = score(indices)
                progress(len(indices))
            return scores

        return score_and_report


@contextmanager
def open_live_merge(
    models: ModelSet, model_settings: ModelSettings, settings: Settings, monitor: Monitor
) -> Iterator[MergedModel]:
    """The merge of some models in memory. Raises UsageError for a method that has no λ."""
    job = prepare_job(ResolvedMerge(models.recipe, ""), settings, monitor)
    with TemporaryDirectory() as scratch, prepare_merge(job, Path(scratch) / "live") as ready:
        if ready.plan is None:
            raise UsageError(
                "λ is searched for models merged by slerp, linear, multislerp or task_arithmetic"
            )
        template = ready.chat_template
        files = files_of_base(ready.base.folder, 0, template) if template else {}
        model = MergedModel.load(
            ready.plan, files, model_settings, name=models.name, warn=monitor.warning
        )
        with closing(model):
            yield model
