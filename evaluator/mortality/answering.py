"""Asks a model about stays: each distinct record once, and stores each batch of answers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from patientdx.protocols import Choice, Chooser

from .answer_store import Answer, AnswerStore
from .question import PAPER_QUESTION, Question

WINDOW = 2048
"""Number of records in memory at once; the model sorts them by length for its batches."""

Record = Sequence[str]
"""The texts of the sections of a stay."""


class AnswerProgress(NamedTuple):
    """A step of progress: `stays` more stays have an answer, from the store or from the model."""

    stays: int
    from_store: bool


def answer_questions(
    model: Chooser,
    records: Iterable[Record],
    question: Question = PAPER_QUESTION,
    store: AnswerStore | None = None,
    *,
    on_progress: Callable[[AnswerProgress], None] = lambda _: None,
) -> list[Answer]:
    """The model's answer to the question about each record, in order.

    Equal records are answered once. With a `store`, only missing answers are computed, and each
    batch is stored as it completes: a killed run loses one batch at most. Raises ModelError; the
    answers before the error are stored.
    """
    answers: list[Answer] = []
    for window in _split_windows(records):
        keys = [question.answer_key(model.digest, record) for record in window]
        distinct = dict(zip(keys, window, strict=True))
        known = store.find(list(distinct)) if store is not None else {}
        repeats = {key: keys.count(key) for key in distinct} if len(distinct) < len(keys) else {}
        if known:
            stays = sum(repeats.get(key, 1) for key in known)
            on_progress(AnswerProgress(stays, from_store=True))
        missing = {key: record for key, record in distinct.items() if key not in known}
        for batch in _compute_answers(model, missing, question):
            if store is not None:
                store.store(batch)
            known |= batch
            stays = sum(repeats.get(key, 1) for key in batch)
            on_progress(AnswerProgress(stays, from_store=False))
        answers += [known[key] for key in keys]
    return answers


def _split_windows(records: Iterable[Record]) -> Iterator[list[Record]]:
    remaining = iter(records)
    while window := list(islice(remaining, WINDOW)):
        yield window


def _compute_answers(
    model: Chooser, records: dict[bytes, Record], question: Question
) -> Iterator[dict[bytes, Answer]]:
    """The answers by key, batch by batch."""
    keys = list(records)
    prompts = [question.prompt(record) for record in records.values()]
    for batch in model.choose(prompts, question.surface_forms, question.new_tokens):
        yield {keys[position]: _to_answer(choice) for position, choice in batch.items()}


def _to_answer(choice: Choice) -> Answer:
    died, lived = choice.logprobs
    return Answer(died, lived, choice.reply, choice.tokens, choice.cut)
