"""Texts; the better a merge predicts them, the better it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluator.selection import (
    Candidate,
    CandidateEvaluator,
    Instances,
    InstanceScorer,
    Metric,
    ScoreStore,
    Text,
    build_metric,
    read_texts,
    text_instances,
    text_scorer,
    token_counts,
)
from patientdx.errors import UsageError

from .live_merges import LiveMerge

TEXTS_AT_ONCE = 64


@dataclass(frozen=True, repr=False)
class TextSource:
    """Texts whose perplexity decides. It never prints itself."""

    path: Path
    texts: tuple[Text, ...]
    metric: Metric

    curves = ()
    proxies = ()

    @classmethod
    def read(cls, path: Path | str, metric: str | None = None) -> "TextSource":
        """The paragraphs or lines of a file. Raises UsageError for another metric."""
        if metric not in {None, "perplexity"}:
            raise UsageError(f"--text goes with --metric perplexity, not with `{metric}`")
        return cls(Path(path), tuple(read_texts(Path(path))), build_metric("texts", metric))

    @property
    def instances(self) -> Instances:
        """See InstanceSource."""
        return text_instances(self.texts)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        return {"texts": str(self.path)}

    @contextmanager
    def open_evaluator(self, live: LiveMerge) -> Iterator[CandidateEvaluator]:
        """See InstanceSource."""
        sizes = token_counts(self.texts, live.model.count, self.path)
        score = text_scorer(live.model, self.texts)

        def score_by(candidate: Candidate) -> InstanceScorer:
            live.apply(candidate)
            return live.with_progress(candidate, score)

        with ScoreStore(live.store_path("scores")) as store:
            yield CandidateEvaluator(
                score_by,
                text_instances(self.texts, sizes),
                digest=repr((live.digest, self.metric.name)),
                store=store,
                batch_size=TEXTS_AT_ONCE,
            )
