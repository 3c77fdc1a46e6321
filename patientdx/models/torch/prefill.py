"""Prompts in one forward pass of a torch model, and possible continuations in a second.

Rows are padded on the right: under causal attention the padding affects no token before it, so the
pass needs no mask. Logits are computed for the last column of each row only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from patientdx.models.answers import Tokens

from .decoding import cache_argument
from .kv_cache import growing_cache, stack_caches

MASKED = frozenset({"sdpa", "eager"})
"""Attention implementations that accept a mask per column."""


@dataclass(frozen=True)
class PromptBatch:
    """Processed prompts: their cache, their lengths, and the logits (float32) that follow them.

    The cache is None where nothing is to follow the prompts.
    """

    model: Any
    cache: Any
    lengths: list[int]
    logits: Any

    @classmethod
    def process(
        cls, model: Any, prompts: list[list[int]], *, prompts_only: bool = False
    ) -> "PromptBatch":
        """Processes prompts in one pass; with `prompts_only` nothing can follow them."""
        import torch

        lengths = [len(prompt) for prompt in prompts]
        width = max(lengths)
        padded = [[*prompt, *[0] * (width - len(prompt))] for prompt in prompts]
        tokens = torch.tensor(padded, device=model.device)
        last = torch.tensor(lengths, device=model.device) - 1
        cache = None if prompts_only else growing_cache()
        options = {} if prompts_only else cache_argument(model, cache)
        with _head_sees(model, last):
            logits = model(input_ids=tokens, use_cache=not prompts_only, **options).logits
        if logits.shape[1] > 1:  # a model whose head could not be hooked
            logits = logits[torch.arange(len(lengths), device=model.device), last][:, None]
        return cls(model, cache, lengths, logits[:, -1].float())

    @classmethod
    def concatenate(cls, batches: Sequence["PromptBatch"]) -> "PromptBatch":
        """Several batches as one; their caches must not be used afterwards."""
        from torch import cat

        if len(batches) == 1:
            return batches[0]
        lengths = [length for batch in batches for length in batch.lengths]
        caches = [batch.cache for batch in batches]
        cache = None if caches[0] is None else stack_caches(caches)
        return cls(batches[0].model, cache, lengths, cat([batch.logits for batch in batches]))

    @property
    def width(self) -> int:
        """Number of columns of the longest prompt."""
        return max(self.lengths)

    def branch(self, prefixes: Sequence[Tokens], own: list[int]) -> list[Any]:
        """Logits (float32) after each prefix of a form, and last after each row's own token.

        Prefixes are sorted, and the prefixes of each are among them. All are processed in one pass,
        as a tree, where the model's attention accepts such a mask.
        """
        depth = max((len(prefix) for prefix in prefixes), default=1)
        attention = getattr(self.model.config, "_attn_implementation", None)
        if attention in MASKED and attends_to_all(self.model, self.width + depth + 1):
            return self._process_tree([*prefixes, ()], own)
        rows = len(self.lengths)
        logits = [self.step([prefix[-1]] * rows, len(prefix) - 1) for prefix in prefixes]
        return [*logits, self.step(own, 0)]

    def step(self, tokens: list[int], depth: int) -> Any:
        """Logits (float32) after one more token per row, at `depth` (from 0) after the prompts.

        Cached columns from that depth on are dropped. Padding before the token is masked.
        """
        import torch

        model, width = self.model, self.width
        self._drop_columns(depth)
        lengths = torch.tensor(self.lengths, device=model.device)[:, None]
        columns = torch.arange(width + depth + 1, device=model.device)[None, :]
        mask = (columns < lengths) | (columns >= width)
        out = model(
            input_ids=torch.tensor(tokens, device=model.device)[:, None],
            attention_mask=None if min(self.lengths) == width else mask.long(),
            position_ids=lengths + depth,
            use_cache=True,
            **cache_argument(model, self.cache),
        )
        return out.logits[:, -1].float()

    def _process_tree(self, nodes: Sequence[Tokens], own: list[int]) -> list[Any]:
        """One column per node, which sees the prompt, its prefixes and itself; () is `own`."""
        import torch

        model, width = self.model, self.width
        self._drop_columns(0)
        tokens = [[node[-1] if node else token for node in nodes] for token in own]
        depths = torch.tensor([max(len(node) - 1, 0) for node in nodes], device=model.device)
        lengths = torch.tensor(self.lengths, device=model.device)
        prompt = torch.arange(width, device=model.device) < lengths[:, None]
        ancestors = torch.tensor(
            [[_is_prefix(other, node) for other in nodes] for node in nodes], device=model.device
        )
        rows, columns = len(own), len(nodes)
        visible = torch.cat(
            [
                prompt[:, None].expand(rows, columns, width),
                ancestors[None].expand(rows, columns, columns),
            ],
            -1,
        )
        hidden = torch.finfo(model.dtype).min
        mask = torch.zeros(visible.shape, dtype=model.dtype, device=model.device)
        out = model(
            input_ids=torch.tensor(tokens, device=model.device),
            attention_mask=mask.masked_fill(~visible, hidden)[:, None],
            position_ids=lengths[:, None] + depths,
            use_cache=True,
            **cache_argument(model, self.cache),
        )
        return [out.logits[:, at].float() for at in range(columns)]

    def _drop_columns(self, depth: int) -> None:
        """Drops the cached columns from `depth` on, counted from the end of the prompts."""
        for layer in self.cache.layers:
            layer.keys = layer.keys[:, :, : self.width + depth]
            layer.values = layer.values[:, :, : self.width + depth]


def attends_to_all(model: Any, columns: int) -> bool:
    """Whether every token attends to all earlier ones: no sliding window below `columns`."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    return window is None or window >= columns


@contextmanager
def _head_sees(model: Any, last: Any) -> Iterator[None]:
    """Passes one column per row to the head: the logits of all would be larger than the model."""
    import torch

    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    rows = torch.arange(len(last), device=last.device)

    def select(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        states = arguments[0]
        return (states[rows.to(states.device), last.to(states.device)][:, None], *arguments[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _is_prefix(prefix: Tokens, node: Tokens) -> bool:
    """Whether a node extends a prefix or equals it; () stands for a row's own token, unrelated."""
    return prefix == node if not prefix or not node else node[: len(prefix)] == prefix
