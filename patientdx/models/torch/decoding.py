"""Continuous batching: rows of a batch are refilled as soon as enough of them have ended.

Prompts go longest first, so that neighbours have similar lengths and memory runs out at the start
if it ever does. A row's tokens do not depend on its neighbours, except for rounding.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.settings import Warn
from patientdx.protocols import GenerationSettings

from .kv_cache import add_rows, growing_cache, keep_rows

Decode = Callable[[list[int]], str]
"""The text of tokens."""


@dataclass
class _Row:
    """A prompt being continued: its number, its tokens, and the reply so far."""

    number: int
    prompt: list[int]
    reply: list[int] = field(default_factory=list)
    generator: Any = None  # of random numbers
    ended: bool = False

    @property
    def columns(self) -> int:
        """Number of tokens in the cache: all but the last."""
        return len(self.prompt) + len(self.reply) - 1


@dataclass
class Decoder:
    """Continues tokenised prompts; `ends` are the tokens that end a reply."""

    model: Any
    ends: frozenset[int]
    settings: GenerationSettings
    decode: Decode

    def run(self, prompts: Sequence[list[int]], batch: int, warn: Warn) -> list[list[int]]:
        """The tokens of every reply. Halves the batch, with a warning, when memory runs out.

        Raises ModelError where the memory does not hold a single prompt.
        """
        if self.settings.max_new_tokens < 1:
            return [[] for _ in prompts]
        replies: dict[int, list[int]] = {}
        order = sorted(range(len(prompts)), key=lambda number: (-len(prompts[number]), number))
        while remaining := [number for number in order if number not in replies]:
            try:
                rows = [_Row(number, prompts[number]) for number in remaining]
                self._run(rows, batch, replies)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                batch = halve_batch(batch, warn)
        return [replies[number] for number in range(len(prompts))]

    def _run(self, waiting: list[_Row], batch: int, replies: dict[int, list[int]]) -> None:
        from torch import inference_mode

        rows: list[_Row] = []
        cache = growing_cache()
        with inference_mode():
            while waiting or rows:
                if _should_refill(rows, waiting, batch):
                    rows, cache = self._drop_ended(rows, cache)
                    free = batch - len(rows)
                    new, waiting = waiting[:free], waiting[free:]
                    if new:
                        add_rows(cache, self._prefill(new))
                        rows += new
                else:
                    self._step(rows, cache)
                replies |= {row.number: row.reply for row in rows if row.ended}

    def _drop_ended(self, rows: list[_Row], cache: Any) -> tuple[list[_Row], Any]:
        from torch import tensor

        active = [at for at, row in enumerate(rows) if not row.ended]
        if not active:
            return [], growing_cache()
        remaining = [rows[at] for at in active]
        columns = max(row.columns for row in remaining)
        keep_rows(cache, tensor(active, device=self.model.device), columns)
        return remaining, cache

    def _prefill(self, rows: list[_Row]) -> Any:
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
            row.generator = torch.Generator().manual_seed(self.settings.seed)
        self._forward(rows, cache, tokens, pads)
        return cache

    def _step(self, rows: list[_Row], cache: Any) -> None:
        """One more token for every row; what an ended row gets is ignored."""
        import torch

        pads = [cache.get_seq_length() - row.columns for row in rows]
        last = [[(row.reply or row.prompt)[-1]] for row in rows]
        tokens = torch.tensor(last, device=self.model.device)
        self._forward(rows, cache, tokens, pads)

    def _forward(self, rows: list[_Row], cache: Any, tokens: Any, pads: list[int]) -> None:
        logits = forward(self.model, tokens, cache, pads, keep=1)[:, -1]
        for row, token in zip(rows, self._choose_tokens(rows, logits), strict=True):
            if not row.ended:
                self._append(row, token)

    def _append(self, row: _Row, token: int) -> None:
        if token in self.ends:
            row.ended = True
            return
        row.reply.append(token)
        full = len(row.reply) >= self.settings.max_new_tokens
        row.ended = full or self._has_stop_string(row)

    def _has_stop_string(self, row: _Row) -> bool:
        if not self.settings.stop:
            return False
        text = self.decode(row.reply)
        return any(stop in text for stop in self.settings.stop)

    def _choose_tokens(self, rows: list[_Row], logits: Any) -> list[int]:
        import torch

        if self.settings.temperature <= 0:
            most_likely: list[int] = logits.argmax(-1).tolist()
            return most_likely
        probabilities = torch.softmax(logits.float().cpu() / self.settings.temperature, -1)
        return [
            int(torch.multinomial(distribution, 1, generator=row.generator))
            for distribution, row in zip(probabilities, rows, strict=True)
        ]


def _should_refill(rows: list[_Row], waiting: list[_Row], batch: int) -> bool:
    """Whether to remove ended rows and refill, which copies the whole cache."""
    active = sum(not row.ended for row in rows)
    if waiting:
        return not active or (batch - active) * 4 >= batch
    return active * 2 < len(rows)


def forward(model: Any, tokens: Any, cache: Any, pads: list[int], keep: int) -> Any:
    """Logits of the last `keep` columns of `tokens` (rows x columns), which are added to `cache`.

    `pads` is the number of padding columns before each row, from the first column of the cache.
    """
    import torch

    rows, columns = tokens.shape
    total = cache.get_seq_length() + columns if cache.layers else columns
    pad = torch.tensor(pads, device=tokens.device)[:, None]
    positions = torch.arange(total, device=tokens.device)[None, :].expand(rows, total)
    options = cache_argument(model, cache)
    if "logits_to_keep" in forward_parameters(model):
        options["logits_to_keep"] = keep
    out = model(
        input_ids=tokens,
        attention_mask=(positions >= pad).long() if any(pads) else None,
        position_ids=(positions[:, -columns:] - pad).clamp(min=0),
        use_cache=True,
        **options,
    )
    return out.logits[:, -keep:]


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The cache as a keyword argument, whose name differs between versions of transformers."""
    return {"cache" if "cache" in forward_parameters(model) else "past_key_values": cache}


def forward_parameters(model: Any) -> Collection[str]:
    """Names of the parameters of a model's forward pass."""
    return inspect.signature(type(model).forward).parameters


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for lack of memory, on any device."""
    from torch import OutOfMemoryError

    return isinstance(error, OutOfMemoryError) or "allocate memory" in str(error)


def halve_batch(batch: int, warn: Warn) -> int:
    """Half the batch size. Raises ModelError where it is one already."""
    if batch <= 1:
        raise ModelError(
            "the memory does not hold the model with a single prompt of this length",
            hint="use a shorter context, a smaller type (--dtype bfloat16) or --quantize nf4",
        )
    warn(f"out of memory with {batch:,} prompts at once: going on with {batch // 2:,}")
    return batch // 2
