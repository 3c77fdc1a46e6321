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

from patientdx.storage.row_store import Message, RowStore, StoreFormat

_FORMAT = StoreFormat(
    table="scores",
    schema="CREATE TABLE scores (key BLOB PRIMARY KEY, score REAL, answer REAL, sum BLOB NOT NULL)"
    " WITHOUT ROWID",
    application_id=0x5064584C,  # "PdXL"
    version=1,
    foreign=Message("this is no file of scores", "name another file"),
    other_version=Message("this is no file of scores", "name another file"),
    damaged=Message(
        "the file of scores is damaged", "remove the file: its scores are computed again"
    ),
    unusable=Message(
        "scores cannot be kept", "choose another place, or wait for the process that writes to it"
    ),
)


class Score(NamedTuple):
    """A score, nan if the model returned none, and the answer, None for scorers without answers."""

    score: float
    answer: float | None


def score_key(digest: str, candidate: str, instance: str) -> bytes:
    """The key of a score; `digest` identifies inputs, method and question."""
    parts = json.dumps([digest, candidate, instance])
    return blake2b(parts.encode("utf-8"), digest_size=24).digest()


class ScoreStore(RowStore):
    """An open file of scores; each `store` is one transaction, on disk when it returns.

    Raises CacheError for a file that is damaged, of another kind, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """The stored scores by key. Raises CacheError for a damaged score."""
        scores: dict[bytes, Score] = {}
        with self.cache_errors():
            for key, score, answer, checksum in self.read_rows(keys):
                if _checksum(key, score, answer) != checksum:
                    raise self.damage_error()
                scores[key] = Score(float("nan") if score is None else score, answer)
        return scores

    def store(self, scores: Mapping[bytes, Score]) -> None:
        """Adds scores, all or none."""
        rows = [
            (key, None if math.isnan(score.score) else score.score, score.answer)
            for key, score in scores.items()
        ]
        self.write_rows([(*row, _checksum(*row)) for row in rows])


def _checksum(key: bytes, score: float | None, answer: float | None) -> bytes:
    return blake2b(key + repr((score, answer)).encode(), digest_size=8).digest()
