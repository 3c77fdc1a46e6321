"""Answers by a torch model: each prompt is read once, in batches packed by length.

A CPU reads fastest by few columns at a time; what follows the prompts is a few columns a row, which
cost the reading of all weights: several batches share that pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from patientdx.models.answers import Answers, Tokens
from patientdx.models.settings import Warn

from .decoding import halved, is_out_of_memory
from .prefill import Read, sees_all

_COLUMNS_ON_CPU = 3 << 9  # of float32: a tenth faster than a third of it, and than twice it
_HALF_COLUMNS_ON_CPU = 1 << 11  # of 16 bits: a tenth faster than fewer, and than more
_TOGETHER_ON_CPU = 1 << 13  # whose keys and values are in memory at once
_COLUMNS_ON_GPU = 1 << 16


class Weighed(NamedTuple):
    """The log-probability of each answer, and the tokens of the reply without its end."""

    logprobs: tuple[float, ...]
    reply: list[int]


@dataclass(frozen=True)
class Weigher:
    """Weighs answers to prompts given as tokens; `ends` are the tokens that end a reply.

    `rows` is the most prompts of a batch.
    """

    model: Any
    answers: Answers
    ends: frozenset[int]
    new_tokens: int
    rows: int

    def run(self, prompts: Sequence[list[int]], warn: Warn) -> Iterator[dict[int, Weighed]]:
        """What each batch gave, by place, the longest prompts first.

        Makes batches half as large, and says so, when memory runs out. Raises ModelError where
        not even one prompt has room.
        """
        together, rows = max(_room(self.model)), self.rows
        left = sorted(range(len(prompts)), key=lambda place: (-len(prompts[place]), place))
        while left:
            count = _fitting([len(prompts[place]) for place in left[:rows]], together, self.model)
            try:
                found = self._batch([prompts[place] for place in left[:count]])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = halved(count, warn)
                continue
            yield dict(zip(left[:count], found, strict=True))
            left = left[count:]

    def _batch(self, prompts: list[list[int]]) -> list[Weighed]:
        from torch import inference_mode

        with inference_mode():
            beginnings = [one for one in self.answers.steps if one]
            alone = not beginnings and self.new_tokens < 2
            parts = [Read.of(self.model, some, alone=alone) for some in self._parts(prompts)]
            read = Read.together(parts)
            chosen = read.first.argmax(-1).tolist()
            *branches, second = [None] if alone else read.after(beginnings, chosen)
            told = self._told({(): read.first, **dict(zip(beginnings, branches, strict=True))})
            replies = self._replies(read, chosen, second)
        of_rows = [{form: told[form][row] for form in told} for row in range(len(prompts))]
        return [
            Weighed(self.answers.logprobs(one), reply)
            for one, reply in zip(of_rows, replies, strict=True)
        ]

    def _parts(self, prompts: list[list[int]]) -> Iterator[list[list[int]]]:
        """The prompts in parts that are fast to read, the longest first."""
        columns, _ = _room(self.model)
        while prompts:
            count = _fitting([len(one) for one in prompts], columns, self.model)
            yield prompts[:count]
            prompts = prompts[count:]

    def _told(self, logits: Mapping[Tokens, Any]) -> dict[Tokens, list[float]]:
        """Of each token of a form, by its beginning: a log-probability a row."""
        told: dict[Tokens, list[float]] = {}
        for beginning, tokens in self.answers.steps.items():
            at = logits[beginning]
            picked = (at[:, list(tokens)] - at.logsumexp(-1, keepdim=True)).T.tolist()
            told |= {(*beginning, one): row for one, row in zip(tokens, picked, strict=True)}
        return told

    def _replies(self, read: Read, chosen: list[int], second: Any) -> list[list[int]]:
        """Greedy; a row that has ended goes on with what nobody reads."""
        taken = [chosen]
        if self.new_tokens > 1:
            taken.append(second.argmax(-1).tolist())
        while len(taken) < self.new_tokens:
            if len(taken) == 2:  # branches have left their own columns in the cache
                read.step(taken[0], 0)
            taken.append(read.step(taken[-1], len(taken) - 1).argmax(-1).tolist())
        replies = [list(one) for one in zip(*taken[: self.new_tokens], strict=True)]
        return [list(takewhile(lambda token: token not in self.ends, one)) for one in replies] or [
            [] for _ in read.lengths
        ]


def _room(model: Any) -> tuple[int, int]:
    """Columns to read at a time, and to keep in memory."""
    if str(model.device) != "cpu":
        return _COLUMNS_ON_GPU, _COLUMNS_ON_GPU
    half = model.dtype.itemsize < 4
    return _HALF_COLUMNS_ON_CPU if half else _COLUMNS_ON_CPU, _TOGETHER_ON_CPU


def _fitting(lengths: list[int], columns: int, model: Any) -> int:
    """How many of the prompts, longest first, make one batch; at least one.

    A window of attention counts columns: where there is one, a batch holds prompts of one length,
    so that no padding comes between a prompt and what follows.
    """
    fitting = max(1, columns // lengths[0])
    if not sees_all(model, lengths[0] + 1):
        fitting = min(fitting, lengths.count(lengths[0]))
    return min(fitting, len(lengths))
