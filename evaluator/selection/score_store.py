"""Scores of candidates, stored on disk as they are computed, so that none is computed twice.

An SQLite file, readable by its owner only. Its keys are digests of model, candidate and record,
its values two numbers. It contains neither records nor ids.
"""

import json
import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from patientdx.storage.kept_rows import KeptRows, RowFormat

_FORMAT = RowFormat(
    "scores",
    "score REAL, answer REAL, sum BLOB NOT NULL",
    application=0x5064584C,  # "PdXL"
    version=1,
    holds="scores",
    again="computed",
)


class Score(NamedTuple):
    """A score, nan if the model returned none, and the answer, None for scorers without answers."""

    score: float
    answer: float | None


def score_key(digest: str, candidate: str, instance: str) -> bytes:
    """The key of a score; `digest` identifies inputs, method and question."""
    parts = json.dumps([digest, candidate, instance])
    return blake2b(parts.encode("utf-8"), digest_size=24).digest()


class ScoreStore(KeptRows):
    """An open file of scores; each `store` is one transaction, on disk when it returns.

    Raises CacheError for a file that is damaged, of another kind, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """The stored scores by key. Raises CacheError for a damaged score."""
        scores: dict[bytes, Score] = {}
        with self.explained():
            for key, score, answer, checksum in self.rows(keys):
                if _checksum(key, score, answer) != checksum:
                    raise self.damaged()
                scores[key] = Score(float("nan") if score is None else score, answer)
        return scores

    def store(self, scores: Mapping[bytes, Score]) -> None:
        """Adds scores, all or none."""
        rows = [
            (key, None if math.isnan(score.score) else score.score, score.answer)
            for key, score in scores.items()
        ]
        self.add([(*row, _checksum(*row)) for row in rows])


def _checksum(key: bytes, score: float | None, answer: float | None) -> bytes:
    return blake2b(key + repr((score, answer)).encode(), digest_size=8).digest()
