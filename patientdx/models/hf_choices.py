"""Answers by a torch model: each prompt is read once, and only its last column becomes logits.

Prompts are packed by length, so that a batch has about so many columns. Rows are padded on the
right: under causal attention nothing before the padding sees it, and the pass needs no mask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from .answers import Answers, Tokens
from .hf_cache import growing_cache
from .hf_decoding import forward_names, halved, is_out_of_memory
from .settings import Warn

_COLUMNS_ON_CPU = 1 << 12
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
        on_cpu = str(self.model.device) == "cpu"
        columns, rows = _COLUMNS_ON_CPU if on_cpu else _COLUMNS_ON_GPU, self.rows
        left = sorted(range(len(prompts)), key=lambda place: (-len(prompts[place]), place))
        while left:
            count = _fitting([len(prompts[place]) for place in left[:rows]], columns, self.model)
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
            read = _Read.of(self.model, prompts)
            told = self._told(read)
            replies = self._replies(read)
        return [
            Weighed(
                self.answers.logprobs({form: values[row] for form, values in told.items()}), one
            )
            for row, one in enumerate(replies)
        ]

    def _told(self, read: "_Read") -> dict[Tokens, list[float]]:
        """Of each token of a form, by its beginning: a log-probability a row."""
        told: dict[Tokens, list[float]] = {}
        for beginning, tokens in self.answers.steps.items():
            logits = read.after(beginning)
            picked = (logits[:, list(tokens)] - logits.logsumexp(-1, keepdim=True)).tolist()
            for at, token in enumerate(tokens):
                told[(*beginning, token)] = [row[at] for row in picked]
        return told

    def _replies(self, read: "_Read") -> list[list[int]]:
        """Greedy; a row that has ended repeats its last token, which nobody reads."""
        replies: list[list[int]] = [[] for _ in read.lengths]
        open_ = set(range(len(replies)))
        logits = read.first
        for step in range(self.new_tokens):
            chosen = logits.argmax(-1).tolist()
            for row in tuple(open_):
                if chosen[row] in self.ends:
                    open_.discard(row)
                else:
                    replies[row].append(chosen[row])
            if not open_ or step + 1 == self.new_tokens:
                break
            logits = read.step(chosen, step)
        return replies


@dataclass(frozen=True)
class _Read:
    """A batch of prompts that was read: its cache, its lengths, and its first logits (float32)."""

    model: Any
    cache: Any
    lengths: list[int]
    first: Any

    @classmethod
    def of(cls, model: Any, prompts: list[list[int]]) -> "_Read":
        """One pass, in which every row gives the logits of its last column."""
        import torch

        lengths = [len(one) for one in prompts]
        width = max(lengths)
        padded = [[*one, *[0] * (width - len(one))] for one in prompts]
        tokens = torch.tensor(padded, device=model.device)
        last = torch.tensor(lengths, device=model.device) - 1
        cache = growing_cache()
        names = forward_names(model)
        options = {"cache" if "cache" in names else "past_key_values": cache}
        with _only(model, last):
            logits = model(input_ids=tokens, use_cache=True, **options).logits
        if logits.shape[1] > 1:  # the head is none that can be asked for one column
            logits = logits[torch.arange(len(lengths), device=model.device), last][:, None]
        return cls(model, cache, lengths, logits[:, -1].float())

    def after(self, beginning: Tokens) -> Any:
        """Logits after a beginning of a form; that without its last token was read before."""
        if not beginning:
            return self.first
        return self.step([beginning[-1]] * len(self.lengths), len(beginning) - 1)

    def step(self, tokens: list[int], depth: int) -> Any:
        """Logits (float32) after one more token a row, the `depth`-th from 0 after the prompts.

        What was read from that depth on is forgotten. Padding between a prompt and it is masked.
        """
        import torch

        model, width = self.model, max(self.lengths)
        for layer in self.cache.layers:
            layer.keys = layer.keys[:, :, : width + depth]
            layer.values = layer.values[:, :, : width + depth]
        lengths = torch.tensor(self.lengths, device=model.device)[:, None]
        places = torch.arange(width + depth + 1, device=model.device)[None, :]
        mask = (places < lengths) | (places >= width)
        names = forward_names(model)
        out = model(
            input_ids=torch.tensor(tokens, device=model.device)[:, None],
            attention_mask=None if min(self.lengths) == width else mask.long(),
            position_ids=lengths + depth,
            use_cache=True,
            **{"cache" if "cache" in names else "past_key_values": self.cache},
        )
        return out.logits[:, -1].float()


@contextmanager
def _only(model: Any, last: Any) -> Iterator[None]:
    """Lets the head see one column a row: over all of them its logits would outweigh the model."""
    import torch

    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    rows = torch.arange(len(last), device=last.device)

    def pick(_module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        states = given[0]
        return (states[rows.to(states.device), last.to(states.device)][:, None], *given[1:])

    handle = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def _fitting(lengths: list[int], columns: int, model: Any) -> int:
    """How many of the prompts, longest first, make one batch; at least one.

    A window of attention counts columns: where there is one, a batch holds prompts of one length,
    so that no padding comes between a prompt and what follows.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    fitting = max(1, columns // lengths[0])
    if window is not None and window < lengths[0] + 1:
        fitting = min(fitting, lengths.count(lengths[0]))
    return min(fitting, len(lengths))
