"""Log-probabilities by a torch model: one forward pass per prompt for all its continuations."""

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
        logprobs: list[list[float]] = []
        for start in range(0, len(continuations), _MOST_ROWS):
            batch = continuations[start : start + _MOST_ROWS]
            own = deepcopy(cache) if len(continuations) > _MOST_ROWS else cache
            logprobs += _score_batch(model, own, prompt[-1], batch)
    return logprobs


def _score_batch(
    model: Any, cache: Any, last: int, continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """One batch of continuations, padded on the right, in stretches of columns."""
    from torch import tensor

    rows, width = len(continuations), max(len(tokens) for tokens in continuations)
    if rows > 1 and cache.layers:
        cache.batch_repeat_interleave(rows)
    shifted = [[last, *tokens[:-1]] for tokens in continuations]
    inputs = tensor([_pad(tokens, width) for tokens in shifted], device=model.device)
    targets = tensor([_pad(tokens, width) for tokens in continuations], device=model.device)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    stretch = max(1, _MOST_LOGITS // (rows * vocabulary))
    values: list[list[float]] = [[] for _ in continuations]
    for start in range(0, width, stretch):
        tokens = inputs[:, start : start + stretch]
        logits = forward(model, tokens, cache, [0] * rows, keep=tokens.shape[1]).float()
        target = targets[:, start : start + stretch, None]
        columns = (logits.gather(-1, target)[:, :, 0] - logits.logsumexp(-1)).tolist()
        for row, more in zip(values, columns, strict=True):
            row.extend(more)
    return [row[: len(tokens)] for row, tokens in zip(values, continuations, strict=True)]


def _pad(tokens: Sequence[int], width: int) -> list[int]:
    return [*tokens, *[0] * (width - len(tokens))]
