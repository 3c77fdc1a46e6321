"""Scores of candidates on instances: each computed once, stored, and counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .candidates import Candidate
from .instances import Floats, Indices, Instances, InstanceScorer, InstanceScores, ScorerFactory
from .score_store import Score, ScoreStore, score_key

BATCH_SIZE = 256
"""Instances per call of a scorer; a killed run loses this many scores at most."""


@dataclass(frozen=True)
class _ScoreTable:
    """The scores of a candidate by instance index; answers are nan where there are none."""

    known: npt.NDArray[np.bool_]
    scores: Floats
    answers: Floats

    @classmethod
    def empty(cls, size: int) -> "_ScoreTable":
        return cls(np.zeros(size, bool), np.full(size, np.nan), np.full(size, np.nan))


class CandidateEvaluator:
    """Scores candidates on instances with the factory's scorers, each pair once.

    `digest` identifies what all candidates share (inputs, method, question). With a `store`,
    scores stored under that digest are reused, so that an interrupted search resumes. A candidate
    with a score that is not finite has failed, on all instances and for good. `on_progress`
    receives the number of scores added, computed or read from the store.
    """

    def __init__(
        self,
        factory: ScorerFactory,
        instances: Instances,
        *,
        digest: str = "",
        store: ScoreStore | None = None,
        batch_size: int = BATCH_SIZE,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.instances = instances
        self._factory = factory
        self._digest = digest
        self._store = store
        self._batch_size = batch_size
        self._on_progress = on_progress or (lambda _: None)
        self._tables: dict[Candidate, _ScoreTable] = {}
        self._current: tuple[Candidate, InstanceScorer] | None = None
        self._failed: set[Candidate] = set()
        self._computed_count = 0

    @property
    def failed(self) -> frozenset[Candidate]:
        """Candidates with a score that is not finite."""
        return frozenset(self._failed)

    @property
    def score_count(self) -> int:
        """Number of scores needed so far, including those read from the store."""
        return sum(int(table.known.sum()) for table in self._tables.values())

    @property
    def computed_count(self) -> int:
        """Number of scores computed rather than read from the store."""
        return self._computed_count

    def score(self, candidate: Candidate, indices: Indices) -> InstanceScores | None:
        """The scores of a candidate on some instances; None if it has failed."""
        if candidate in self._failed:
            return None
        scores = self._score(candidate, indices, stop_at_failure=True)
        return None if candidate in self._failed else scores

    def score_all(self, candidate: Candidate) -> InstanceScores:
        """The scores of a candidate on all instances, including scores that are not finite."""
        return self._score(candidate, self.instances.all_indices, stop_at_failure=False)

    def _score(
        self, candidate: Candidate, indices: Indices, *, stop_at_failure: bool
    ) -> InstanceScores:
        table = self._tables.setdefault(candidate, _ScoreTable.empty(len(self.instances)))
        missing = indices[~table.known[indices]]
        for start in range(0, missing.size, self._batch_size):
            if candidate in self._failed and stop_at_failure:
                break
            self._fill(candidate, table, missing[start : start + self._batch_size])
        if not np.all(np.isfinite(table.scores[indices][table.known[indices]])):
            self._failed.add(candidate)
        answers = table.answers[indices]
        return InstanceScores(table.scores[indices], None if np.isnan(answers).any() else answers)

    def _fill(self, candidate: Candidate, table: _ScoreTable, indices: Indices) -> None:
        stored = self._read_stored(candidate, indices)
        new = indices[[index not in stored for index in indices.tolist()]]
        if new.size:
            self._compute(candidate, table, new)
        for index, score in stored.items():
            table.scores[index] = score.score
            table.answers[index] = np.nan if score.answer is None else score.answer
        table.known[indices] = True
        if not np.all(np.isfinite(table.scores[indices])):
            self._failed.add(candidate)
        self._on_progress(indices.size)

    def _read_stored(self, candidate: Candidate, indices: Indices) -> dict[int, Score]:
        if self._store is None:
            return {}
        keys = self._keys(candidate, indices)
        stored = self._store.find(list(keys.values()))
        return {index: stored[key] for index, key in keys.items() if key in stored}

    def _keys(self, candidate: Candidate, indices: Indices) -> dict[int, bytes]:
        names = self.instances.keys
        return {
            index: score_key(self._digest, candidate.key, str(names[index]))
            for index in indices.tolist()
        }

    def _compute(self, candidate: Candidate, table: _ScoreTable, indices: Indices) -> None:
        """Runs the candidate's scorer; the scorer of the candidate before it becomes invalid."""
        if self._current is None or self._current[0] != candidate:
            self._current = None
            self._current = (candidate, self._factory(candidate))
        scores, answers = _validate(indices, self._current[1](indices))
        table.scores[indices] = scores
        table.answers[indices] = np.nan if answers is None else answers
        self._computed_count += indices.size
        if self._store is not None:
            keys = self._keys(candidate, indices)
            self._store.store(
                {
                    keys[index]: Score(float(scores[row]), answers[row] if answers else None)
                    for row, index in enumerate(indices.tolist())
                }
            )


def _validate(
    indices: Indices, output: InstanceScores | Floats | Sequence[float]
) -> tuple[Floats, list[float] | None]:
    """Scores and answers of a scorer's output, shape (n,). Raises EvaluationError."""
    if not isinstance(output, InstanceScores):
        output = InstanceScores(np.asarray(output, np.float64))
    scores = np.asarray(output.scores, dtype=np.float64)
    answers = None if output.answers is None else np.asarray(output.answers, np.float64)
    if scores.shape != indices.shape or (answers is not None and answers.shape != indices.shape):
        raise EvaluationError("a scorer returns one score for each instance it is called with")
    if answers is not None and not np.all((answers >= 0) & (answers <= 1)):
        raise EvaluationError("an answer counts from 0 (no) to 1 (yes)")
    return scores, None if answers is None else answers.tolist()
