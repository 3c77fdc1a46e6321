"""Answers of models about stays, kept on disk as they come, so that a killed run goes on.

A file of SQLite, readable by its owner alone. It holds keys, numbers and a reply of a few tokens:
neither records nor ids.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from patientdx.storage.kept_rows import KeptRows, RowFormat

_FORMAT = RowFormat(
    "answers",
    "answer TEXT NOT NULL",
    application=0x50645841,  # "PdXA"
    version=1,
    holds="answers",
    again="asked for",
)


class Answer(NamedTuple):
    """What a model made of a stay.

    `died` and `lived` are the natural-log probabilities that its reply begins with a form of
    either label, `reply` is what it wrote, `tokens` how many of the prompt it read, `cut`
    whether the record was cut for the context.
    """

    died: float
    lived: float
    reply: str
    tokens: int
    cut: bool


class AnswerStore(KeptRows):
    """An open file of answers; each `store` is one transaction.

    Raises CacheError where the file is damaged, is none of these, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that are there, by key."""
        with self.explained():
            return {key: Answer(*json.loads(value)) for key, value in self.rows(keys)}

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        """Adds answers, all or none, and returns when they are on the disk."""
        self.add([(key, json.dumps(answer)) for key, answer in answers.items()])
