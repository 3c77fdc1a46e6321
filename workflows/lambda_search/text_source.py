"""Texts, which a merge is the better for the better it predicts them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patientdx.errors import UsageError

from .live_merges import LiveMerge

if TYPE_CHECKING:
    from evaluator.selection import Candidate, Instances, Ledger, Metric, Scorer, Text

TEXTS_AT_ONCE = 64


@dataclass(frozen=True, repr=False)
class TextSource:
    """Texts whose perplexity decides. It never prints itself."""

    path: Path
    texts: "tuple[Text, ...]"
    metric: "Metric"

    curves = ()

    @classmethod
    def read(cls, path: Path | str, metric: str | None = None) -> "TextSource":
        """The paragraphs or lines of a file. Raises UsageError for another metric."""
        from evaluator.selection import Perplexity, read_texts

        if metric not in {None, "perplexity"}:
            raise UsageError(f"--text goes with --metric perplexity, not with `{metric}`")
        return cls(Path(path), tuple(read_texts(Path(path))), Perplexity())

    @property
    def instances(self) -> "Instances":
        """See InstanceSource."""
        from evaluator.selection import text_instances

        return text_instances(self.texts)

    def notes(self) -> dict[str, str]:
        """See InstanceSource."""
        return {"texts": str(self.path)}

    @contextmanager
    def open_ledger(self, live: LiveMerge) -> "Iterator[Ledger]":
        """See InstanceSource."""
        from evaluator.selection import (
            Ledger,
            ScoreStore,
            text_instances,
            text_scorer,
            token_counts,
        )

        sizes = token_counts(self.texts, live.model.count, self.path)
        score = text_scorer(live.model, self.texts)

        def score_by(candidate: "Candidate") -> "Scorer":
            live.apply(candidate)
            return live.with_progress(candidate, score)

        with ScoreStore(live.store_path("scores")) as store:
            yield Ledger(
                score_by,
                text_instances(self.texts, sizes),
                digest=repr((live.digest, self.metric.name)),
                store=store,
                at_once=TEXTS_AT_ONCE,
            )
