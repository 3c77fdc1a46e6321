"""Scores answers with a torch model: each prompt is processed once, in batches packed by length.

A CPU is fastest on a few columns at a time. What follows the prompts is only a few columns per row,
and costs a pass over all weights: several batches share that pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from patientdx.models.answers import AnswerForms, Tokens
from patientdx.models.settings import Warn

from .decoding import halve_batch, is_out_of_memory
from .prefill import PromptBatch, attends_to_all

_COLUMNS_ON_CPU = 3 << 9  # of float32: a tenth faster than a third of it, and than twice it
_HALF_COLUMNS_ON_CPU = 1 << 11  # of 16 bits: a tenth faster than fewer, and than more
_CACHED_COLUMNS_ON_CPU = 1 << 13  # whose keys and values are in memory at once
_COLUMNS_ON_GPU = 1 << 16


class AnswerScores(NamedTuple):
    """The log-probability of each answer, and the tokens of the reply without its end token."""

    logprobs: tuple[float, ...]
    reply: list[int]


@dataclass(frozen=True)
class AnswerScorer:
    """Scores answers to tokenised prompts; `ends` are the tokens that end a reply.

    `rows` is the largest number of prompts in a batch.
    """

    model: Any
    answers: AnswerForms
    ends: frozenset[int]
    new_tokens: int
    rows: int

    def run(self, prompts: Sequence[list[int]], warn: Warn) -> Iterator[dict[int, AnswerScores]]:
        """The scores of each batch, by number of the prompt, the longest prompts first.

        Halves the batch, with a warning, when memory runs out. Raises ModelError where the memory
        does not hold a single prompt.
        """
        cached, rows = max(_column_limits(self.model)), self.rows
        remaining = sorted(range(len(prompts)), key=lambda n: (-len(prompts[n]), n))
        while remaining:
            lengths = [len(prompts[number]) for number in remaining[:rows]]
            count = _count_fitting(lengths, cached, self.model)
            try:
                scores = self._score_batch([prompts[number] for number in remaining[:count]])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = halve_batch(count, warn)
                continue
            yield dict(zip(remaining[:count], scores, strict=True))
            remaining = remaining[count:]

    def _score_batch(self, prompts: list[list[int]]) -> list[AnswerScores]:
        from torch import inference_mode

        with inference_mode():
            prefixes = [prefix for prefix in self.answers.next_tokens if prefix]
            prompts_only = not prefixes and self.new_tokens < 2
            batch = PromptBatch.concatenate(
                [
                    PromptBatch.process(self.model, part, prompts_only=prompts_only)
                    for part in self._split(prompts)
                ]
            )
            first = batch.logits.argmax(-1).tolist()
            *branches, second = [None] if prompts_only else batch.branch(prefixes, first)
            logits = {(): batch.logits, **dict(zip(prefixes, branches, strict=True))}
            token_logprobs = self._token_logprobs(logits)
            replies = self._decode_replies(batch, first, second)
        rows = [
            {prefix: values[row] for prefix, values in token_logprobs.items()}
            for row in range(len(prompts))
        ]
        return [
            AnswerScores(self.answers.logprobs(row), reply)
            for row, reply in zip(rows, replies, strict=True)
        ]

    def _split(self, prompts: list[list[int]]) -> Iterator[list[list[int]]]:
        """The prompts in parts of a size that is fast to process, the longest first."""
        columns, _ = _column_limits(self.model)
        while prompts:
            count = _count_fitting([len(prompt) for prompt in prompts], columns, self.model)
            yield prompts[:count]
            prompts = prompts[count:]

    def _token_logprobs(self, logits: Mapping[Tokens, Any]) -> dict[Tokens, list[float]]:
        """Log-probability of the last token of each prefix of a form, one value per row."""
        logprobs: dict[Tokens, list[float]] = {}
        for prefix, tokens in self.answers.next_tokens.items():
            values = logits[prefix]
            columns = (values[:, list(tokens)] - values.logsumexp(-1, keepdim=True)).T.tolist()
            logprobs |= {
                (*prefix, token): column for token, column in zip(tokens, columns, strict=True)
            }
        return logprobs

    def _decode_replies(self, batch: PromptBatch, first: list[int], second: Any) -> list[list[int]]:
        """Greedy replies; what a row writes after its end token is dropped."""
        columns = [first]
        if self.new_tokens > 1:
            columns.append(second.argmax(-1).tolist())
        while len(columns) < self.new_tokens:
            if len(columns) == 2:  # branches have left their own columns in the cache
                batch.step(columns[0], 0)
            columns.append(batch.step(columns[-1], len(columns) - 1).argmax(-1).tolist())
        if not self.new_tokens:
            return [[] for _ in batch.lengths]
        rows = zip(*columns[: self.new_tokens], strict=True)
        return [list(takewhile(lambda token: token not in self.ends, row)) for row in rows]


def _column_limits(model: Any) -> tuple[int, int]:
    """Columns to process at a time, and to keep in memory."""
    if str(model.device) != "cpu":
        return _COLUMNS_ON_GPU, _COLUMNS_ON_GPU
    is_half = model.dtype.itemsize < 4
    return _HALF_COLUMNS_ON_CPU if is_half else _COLUMNS_ON_CPU, _CACHED_COLUMNS_ON_CPU


def _count_fitting(lengths: list[int], columns: int, model: Any) -> int:
    """Number of prompts, longest first, that make one batch; at least one.

    An attention window counts columns: for such a model a batch holds prompts of one length, so
    that no padding separates a prompt from what follows.
    """
    fitting = max(1, columns // lengths[0])
    if not attends_to_all(model, lengths[0] + 1):
        fitting = min(fitting, lengths.count(lengths[0]))
    return min(fitting, len(lengths))
