"""Prompts read by a torch model in one pass, and what may follow them in a second.

Rows are padded on the right: under causal attention nothing before the padding sees it, and the
pass needs no mask. Only the last column of a row becomes logits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from patientdx.models.answers import Tokens

from .decoding import forward_names
from .kv_cache import growing_cache, stacked

MASKED = frozenset({"sdpa", "eager"})
"""Ways of attention that take a mask a column."""


@dataclass(frozen=True)
class Read:
    """A batch of prompts that was read: its cache, its lengths, and its first logits (float32).

    Where nothing is to follow the prompts there is no cache.
    """

    model: Any
    cache: Any
    lengths: list[int]
    first: Any

    @classmethod
    def of(cls, model: Any, prompts: list[list[int]], *, alone: bool = False) -> "Read":
        """One pass, in which every row gives the logits of its last column.

        `alone` says that nothing is to follow.
        """
        import torch

        lengths = [len(one) for one in prompts]
        width = max(lengths)
        padded = [[*one, *[0] * (width - len(one))] for one in prompts]
        tokens = torch.tensor(padded, device=model.device)
        last = torch.tensor(lengths, device=model.device) - 1
        cache = None if alone else growing_cache()
        kept = {"use_cache": False} if alone else {"use_cache": True, **_caching(model, cache)}
        with _only(model, last):
            logits = model(input_ids=tokens, **kept).logits
        if logits.shape[1] > 1:  # the head is none that can be asked for one column
            logits = logits[torch.arange(len(lengths), device=model.device), last][:, None]
        return cls(model, cache, lengths, logits[:, -1].float())

    @classmethod
    def together(cls, reads: Sequence["Read"]) -> "Read":
        """Several batches as one; their caches are used up."""
        from torch import cat

        if len(reads) == 1:
            return reads[0]
        lengths = [length for one in reads for length in one.lengths]
        caches = [one.cache for one in reads]
        cache = None if caches[0] is None else stacked(caches)
        return cls(reads[0].model, cache, lengths, cat([one.first for one in reads]))

    @property
    def width(self) -> int:
        """Columns of the longest prompt."""
        return max(self.lengths)

    def after(self, beginnings: Sequence[Tokens], own: list[int]) -> list[Any]:
        """Logits (float32) after each beginning of a form, and last after each row's own token.

        Beginnings are sorted, and each one's own beginnings are among them. All are read in one
        pass, as a tree, where the model's attention can be told who sees whom.
        """
        depth = max((len(one) for one in beginnings), default=1)
        told = getattr(self.model.config, "_attn_implementation", None)
        if told in MASKED and sees_all(self.model, self.width + depth + 1):
            return self._tree([*beginnings, ()], own)
        rows = len(self.lengths)
        found = [self.step([one[-1]] * rows, len(one) - 1) for one in beginnings]
        return [*found, self.step(own, 0)]

    def step(self, tokens: list[int], depth: int) -> Any:
        """Logits (float32) after one more token a row, the `depth`-th from 0 after the prompts.

        What was read from that depth on is forgotten. Padding between a prompt and it is masked.
        """
        import torch

        model, width = self.model, self.width
        self._forget(depth)
        lengths = torch.tensor(self.lengths, device=model.device)[:, None]
        places = torch.arange(width + depth + 1, device=model.device)[None, :]
        mask = (places < lengths) | (places >= width)
        out = model(
            input_ids=torch.tensor(tokens, device=model.device)[:, None],
            attention_mask=None if min(self.lengths) == width else mask.long(),
            position_ids=lengths + depth,
            use_cache=True,
            **_caching(model, self.cache),
        )
        return out.logits[:, -1].float()

    def _tree(self, nodes: Sequence[Tokens], own: list[int]) -> list[Any]:
        """One column a node: it sees the prompt, its own beginnings, and itself; () is `own`."""
        import torch

        model, width = self.model, self.width
        self._forget(0)
        shared = [[node[-1] if node else token for node in nodes] for token in own]
        depths = torch.tensor([max(len(node) - 1, 0) for node in nodes], device=model.device)
        lengths = torch.tensor(self.lengths, device=model.device)
        prompt = torch.arange(width, device=model.device) < lengths[:, None]
        seen = torch.tensor(
            [[_leads(one, node) for one in nodes] for node in nodes], device=model.device
        )
        rows, columns = len(own), len(nodes)
        visible = torch.cat(
            [
                prompt[:, None].expand(rows, columns, width),
                seen[None].expand(rows, columns, columns),
            ],
            -1,
        )
        hidden = torch.finfo(model.dtype).min
        mask = torch.zeros(visible.shape, dtype=model.dtype, device=model.device)
        out = model(
            input_ids=torch.tensor(shared, device=model.device),
            attention_mask=mask.masked_fill(~visible, hidden)[:, None],
            position_ids=lengths[:, None] + depths,
            use_cache=True,
            **_caching(model, self.cache),
        )
        return [out.logits[:, at].float() for at in range(columns)]

    def _forget(self, depth: int) -> None:
        """Takes from the cache what follows so many columns after the prompts."""
        for layer in self.cache.layers:
            layer.keys = layer.keys[:, :, : self.width + depth]
            layer.values = layer.values[:, :, : self.width + depth]


def sees_all(model: Any, columns: int) -> bool:
    """Whether every token sees all before it, or a window of attention is shorter than that."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    return window is None or window >= columns


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


def _caching(model: Any, cache: Any) -> dict[str, Any]:
    names = forward_names(model)
    return {"cache" if "cache" in names else "past_key_values": cache}


def _leads(one: Tokens, node: Tokens) -> bool:
    """Whether a node is another's beginning, or itself; the row's own token stands alone."""
    return one == node if not one or not node else node[: len(one)] == one
