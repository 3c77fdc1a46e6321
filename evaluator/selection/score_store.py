"""Scores of candidates, kept on disk as they come: nothing is paid for twice.

A file of SQLite, readable by its owner alone. Keys are digests of model, candidate and record;
beside them stand two numbers. Neither records nor ids are in it.
"""

import json
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
    """A score, nan where the model gave none, and an answer where one was asked for."""

    score: float
    answer: float | None


def score_key(digest: str, candidate: str, instance: str) -> bytes:
    """The key of a score: `digest` is of inputs, method and question, `candidate` of its values."""
    parts = json.dumps([digest, candidate, instance])
    return blake2b(parts.encode("utf-8"), digest_size=24).digest()


class ScoreStore(KeptRows):
    """An open file of scores; each `store` is one transaction, on the disk when it returns.

    Raises CacheError where the file is damaged, is none of these, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """The scores that are there, by key. Raises CacheError for one that was damaged."""
        found: dict[bytes, Score] = {}
        with self.explained():
            for key, score, answer, checksum in self.rows(keys):
                if _checksum(key, score, answer) != checksum:
                    raise self.damaged()
                found[key] = Score(float("nan") if score is None else score, answer)
        return found

    def store(self, scores: Mapping[bytes, Score]) -> None:
        """Adds scores, all or none."""
        rows = [
            (key, None if one.score != one.score else one.score, one.answer)
            for key, one in scores.items()
        ]
        self.add([(*row, _checksum(*row)) for row in rows])


def _checksum(key: bytes, score: float | None, answer: float | None) -> bytes:
    return blake2b(key + repr((score, answer)).encode(), digest_size=8).digest()
