"""Answers of models about stays, stored on disk as they come, so that a killed run can continue.

A file of SQLite, readable by its owner alone. It holds keys, numbers and replies of a few tokens,
but neither records nor ids.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from patientdx.storage.row_store import Message, RowStore, StoreFormat

_FORMAT = StoreFormat(
    table="answers",
    schema="CREATE TABLE answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
    application_id=0x50645841,  # "PdXA"
    version=1,
    foreign=Message("this is no file of answers", "name another file"),
    other_version=Message("this is no file of answers", "name another file"),
    damaged=Message(
        "the file of answers is damaged", "remove the file: its answers are asked for again"
    ),
    unusable=Message(
        "answers cannot be kept", "choose another place, or wait for the process that writes to it"
    ),
)


class Answer(NamedTuple):
    """The answer of a model about a stay.

    `died` and `lived` are the natural-log probabilities that the reply begins with a form of
    either label, `reply` is the generated text, `tokens` the number of prompt tokens, `cut`
    whether the record was cut to fit the context.
    """

    died: float
    lived: float
    reply: str
    tokens: int
    cut: bool


class AnswerStore(RowStore):
    """An open file of answers; each `store` is one transaction.

    Raises CacheError where the file is damaged, is none of these, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The stored answers among some keys."""
        with self.cache_errors():
            return {key: Answer(*json.loads(value)) for key, value in self.read_rows(keys)}

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        """Adds answers, all or none, and returns when they are on the disk."""
        self.write_rows([(key, json.dumps(answer)) for key, answer in answers.items()])
