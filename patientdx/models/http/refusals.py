"""What the error of a model server says about the prompt's length. Its text itself is dropped."""

import re
from typing import NamedTuple

_STATUSES = frozenset({400, 413, 422, 500})
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:model|sequence|input|prompt)"
    r"|max_model_len|n_ctx|too (?:long|large|many (?:input )?tokens)|max_new_tokens` must be",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r'n_ctx"?\s{0,3}[:=]\s{0,3}(\d{2,9})'  # llama.cpp
    r"|context[ _-]?(?:length|window|size|limit)[^\d<]{0,40}(\d{2,9})"  # vLLM, SGLang, LM Studio
    r"|must be <= (\d{2,9})",  # text-generation-inference
    re.IGNORECASE,
)
_MOST_BYTES = 1 << 16  # of an error, which may quote the prompt


class Refusal(NamedTuple):
    """Whether a prompt was too long, and for how many tokens, if the server says so."""

    exceeds_context: bool = False
    context: int | None = None


def read_refusal(status: int, body: bytes) -> Refusal:
    """What an error says about the length of the prompt."""
    text = body[:_MOST_BYTES].decode("utf-8", "replace")
    if status != 413 and (status not in _STATUSES or not _TOO_LONG.search(text)):
        return Refusal()
    limits = [int(limit) for match in _LIMIT.finditer(text) for limit in match.groups() if limit]
    return Refusal(exceeds_context=True, context=limits[0] if limits else None)
