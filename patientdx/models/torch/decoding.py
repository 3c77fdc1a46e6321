"""Many prompts through one model: rows of a batch are refilled as soon as enough have ended.

Prompts go longest first, so that those beside each other are of about one length and memory is
tried out at once. A row's tokens do not depend on its neighbours, but for rounding.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.settings import Warn
from patientdx.protocols import GenerationSettings

from .kv_cache import add_rows, growing_cache, keep_rows

Text = Callable[[list[int]], str]
"""The text of tokens."""


@dataclass
class _Row:
    """A prompt being continued: its place in the batch, its tokens, what it got so far."""

    place: int
    prompt: list[int]
    reply: list[int] = field(default_factory=list)
    source: Any = None  # of random numbers
    ended: bool = False

    @property
    def columns(self) -> int:
        """Tokens in the cache: all but the last."""
        return len(self.prompt) + len(self.reply) - 1


@dataclass
class Decoder:
    """Continues prompts given as tokens; `ends` are the tokens that end a reply."""

    model: Any
    ends: frozenset[int]
    settings: GenerationSettings
    text: Text

    def run(self, prompts: Sequence[list[int]], batch: int, warn: Warn) -> list[list[int]]:
        """The tokens of every reply. Halves the batch, and says so, when memory runs out.

        Raises ModelError where not even one prompt has room.
        """
        if self.settings.max_new_tokens < 1:
            return [[] for _ in prompts]
        replies: dict[int, list[int]] = {}
        order = sorted(range(len(prompts)), key=lambda place: (-len(prompts[place]), place))
        while left := [place for place in order if place not in replies]:
            try:
                self._run([_Row(place, prompts[place]) for place in left], batch, replies)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                batch = halved(batch, warn)
        return [replies[place] for place in range(len(prompts))]

    def _run(self, waiting: list[_Row], batch: int, replies: dict[int, list[int]]) -> None:
        from torch import inference_mode

        rows: list[_Row] = []
        cache = growing_cache()
        with inference_mode():
            while waiting or rows:
                if _worth_clearing(rows, waiting, batch):
                    rows, cache = self._without_ended(rows, cache)
                    free = batch - len(rows)
                    new, waiting = waiting[:free], waiting[free:]
                    if new:
                        add_rows(cache, self._begin(new))
                        rows += new
                else:
                    self._step(rows, cache)
                replies |= {row.place: row.reply for row in rows if row.ended}

    def _without_ended(self, rows: list[_Row], cache: Any) -> tuple[list[_Row], Any]:
        from torch import tensor

        kept = [at for at, row in enumerate(rows) if not row.ended]
        if not kept:
            return [], growing_cache()
        left = [rows[at] for at in kept]
        columns = max(row.columns for row in left)
        keep_rows(cache, tensor(kept, device=self.model.device), columns)
        return left, cache

    def _begin(self, rows: list[_Row]) -> Any:
        """The cache of new rows, after their first token."""
        import torch

        device = self.model.device
        width = max(len(row.prompt) for row in rows)
        pads = [width - len(row.prompt) for row in rows]
        tokens = torch.tensor(
            [[0] * pad + row.prompt for pad, row in zip(pads, rows, strict=True)], device=device
        )
        cache = growing_cache()
        for row in rows:
            row.source = torch.Generator().manual_seed(self.settings.seed)
        self._forward(rows, cache, tokens, pads)
        return cache

    def _step(self, rows: list[_Row], cache: Any) -> None:
        """One more token for every row (an ended one repeats its last, which nobody reads)."""
        import torch

        pads = [cache.get_seq_length() - row.columns for row in rows]
        last = [[(row.reply or row.prompt)[-1]] for row in rows]
        tokens = torch.tensor(last, device=self.model.device)
        self._forward(rows, cache, tokens, pads)

    def _forward(self, rows: list[_Row], cache: Any, tokens: Any, pads: list[int]) -> None:
        logits = forward(self.model, tokens, cache, pads, keep=1)[:, -1]
        chosen = self._chosen(rows, logits)
        for row, token in zip(rows, chosen, strict=True):
            if not row.ended:
                self._add(row, token)

    def _add(self, row: _Row, token: int) -> None:
        if token in self.ends:
            row.ended = True
            return
        row.reply.append(token)
        full = len(row.reply) >= self.settings.max_new_tokens
        row.ended = full or self._stopped(row)

    def _stopped(self, row: _Row) -> bool:
        """Whether the reply holds a stop string."""
        if not self.settings.stop:
            return False
        text = self.text(row.reply)
        return any(stop in text for stop in self.settings.stop)

    def _chosen(self, rows: list[_Row], logits: Any) -> list[int]:
        import torch

        if self.settings.temperature <= 0:
            best: list[int] = logits.argmax(-1).tolist()
            return best
        chances = torch.softmax(logits.float().cpu() / self.settings.temperature, -1)
        return [
            int(torch.multinomial(one, 1, generator=row.source))
            for one, row in zip(chances, rows, strict=True)
        ]


def _worth_clearing(rows: list[_Row], waiting: list[_Row], batch: int) -> bool:
    """Whether to take out ended rows and refill: this copies the whole cache."""
    active = sum(not row.ended for row in rows)
    if waiting:
        return not active or (batch - active) * 4 >= batch
    return active * 2 < len(rows)


def forward(model: Any, tokens: Any, cache: Any, pads: list[int], keep: int) -> Any:
    """Logits of the last `keep` columns of `tokens` (rows x columns), which `cache` takes in.

    Each row begins after so many columns of padding, counted from the first of the cache.
    """
    import torch

    rows, columns = tokens.shape
    total = cache.get_seq_length() + columns if cache.layers else columns
    pad = torch.tensor(pads, device=tokens.device)[:, None]
    places = torch.arange(total, device=tokens.device)[None, :].expand(rows, total)
    names = forward_names(model)
    options: dict[str, Any] = {"cache" if "cache" in names else "past_key_values": cache}
    if "logits_to_keep" in names:
        options["logits_to_keep"] = keep
    out = model(
        input_ids=tokens,
        attention_mask=(places >= pad).long() if any(pads) else None,
        position_ids=(places[:, -columns:] - pad).clamp(min=0),
        use_cache=True,
        **options,
    )
    return out.logits[:, -keep:]


def forward_names(model: Any) -> Collection[str]:
    """Names of what a model's forward pass takes, which versions of transformers call otherwise."""
    return inspect.signature(type(model).forward).parameters


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for lack of memory, on whatever device."""
    from torch import OutOfMemoryError

    said = str(error)
    return isinstance(error, OutOfMemoryError) or "allocate memory" in said


def halved(batch: int, warn: Warn) -> int:
    """Half a batch. Raises ModelError where it is one prompt already."""
    if batch <= 1:
        raise ModelError(
            "the memory does not hold the model with a single prompt of this length",
            hint="use a shorter context, a smaller type (--dtype bfloat16) or --quantize nf4",
        )
    warn(f"out of memory with {batch:,} prompts at once: going on with {batch // 2:,}")
    return batch // 2
