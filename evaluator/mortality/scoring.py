"""Asks a model about stays: each record once, batch after batch, kept as each batch completes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from patientdx.protocols import Choice, Chooser

from .answer_store import Answer, AnswerStore
from .question import PAPER, Question

WINDOW = 2048
"""Records that are in memory, and sorted by length for batches, at once."""

Record = Sequence[str]
"""The texts of the sections of a stay."""


class Asked(NamedTuple):
    """A step of progress: so many stays are answered; `kept` were answered before this run."""

    stays: int
    kept: bool


def ask(
    model: Chooser,
    records: Iterable[Record],
    question: Question = PAPER,
    store: AnswerStore | None = None,
    *,
    on_done: Callable[[Asked], None] | None = None,
) -> list[Answer]:
    """The answer to the question about each record, in order.

    Equal records are asked about once. With a `store` only those are asked for that it lacks,
    and each batch is stored as it completes: a killed run loses one batch at most. Raises
    ModelError; what was answered before is stored.
    """
    tell = on_done or (lambda _: None)
    answers: list[Answer] = []
    for window in _windows(records):
        keys = [question.key(model.digest, record) for record in window]
        wanted = dict(zip(keys, window, strict=True))
        known = store.find(list(wanted)) if store is not None else {}
        times = {key: keys.count(key) for key in wanted} if len(wanted) < len(keys) else {}
        if known:
            tell(Asked(sum(times.get(key, 1) for key in known), kept=True))
        missing = {key: record for key, record in wanted.items() if key not in known}
        for found in _answered(model, missing, question):
            if store is not None:
                store.store(found)
            known |= found
            tell(Asked(sum(times.get(key, 1) for key in found), kept=False))
        answers += [known[key] for key in keys]
    return answers


def _windows(records: Iterable[Record]) -> Iterator[list[Record]]:
    rest = iter(records)
    while window := list(islice(rest, WINDOW)):
        yield window


def _answered(
    model: Chooser, missing: dict[bytes, Record], question: Question
) -> Iterator[dict[bytes, Answer]]:
    keys = list(missing)
    prompts = [question.prompt(record) for record in missing.values()]
    for batch in model.choose(prompts, question.forms, question.new_tokens):
        yield {keys[place]: _answer(one) for place, one in batch.items()}


def _answer(choice: Choice) -> Answer:
    died, lived = choice.logprobs
    return Answer(died, lived, choice.reply, choice.tokens, choice.cut)
