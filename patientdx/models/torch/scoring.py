"""Log-probabilities by a torch model: one forward pass a prompt, whatever follows it."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from .decoding import forward
from .kv_cache import growing_cache

_MOST_LOGITS = 1 << 26  # numbers at once: 256 MiB of float32
_MOST_ROWS = 32


def continuations_logprobs(
    model: Any, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Natural-log probabilities of the tokens of each continuation of one prompt (not empty)."""
    from torch import inference_mode, tensor

    with inference_mode():
        cache = growing_cache()
        if len(prompt) > 1:
            tokens = tensor([list(prompt[:-1])], device=model.device)
            forward(model, tokens, cache, [0], keep=1)
        found: list[list[float]] = []
        for start in range(0, len(continuations), _MOST_ROWS):
            some = continuations[start : start + _MOST_ROWS]
            own = deepcopy(cache) if len(continuations) > _MOST_ROWS else cache
            found += _rows(model, own, prompt[-1], some)
    return found


def _rows(
    model: Any, cache: Any, last: int, continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The rows of one batch, padded on the right, read a stretch of columns at a time."""
    from torch import tensor

    rows, width = len(continuations), max(len(one) for one in continuations)
    if rows > 1 and cache.layers:
        cache.batch_repeat_interleave(rows)
    read = [[last, *one[:-1]] for one in continuations]
    inputs = tensor([_padded(one[:width], width) for one in read], device=model.device)
    targets = tensor([_padded(one, width) for one in continuations], device=model.device)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    stretch = max(1, _MOST_LOGITS // (rows * vocabulary))
    values: list[list[float]] = [[] for _ in continuations]
    for start in range(0, width, stretch):
        tokens = inputs[:, start : start + stretch]
        logits = forward(model, tokens, cache, [0] * rows, keep=tokens.shape[1]).float()
        wanted = targets[:, start : start + stretch, None]
        told = (logits.gather(-1, wanted)[:, :, 0] - logits.logsumexp(-1)).tolist()
        for row, more in zip(values, told, strict=True):
            row.extend(more)
    return [row[: len(one)] for row, one in zip(values, continuations, strict=True)]


def _padded(tokens: Sequence[int], width: int) -> list[int]:
    return [*tokens, *[0] * (width - len(tokens))]
