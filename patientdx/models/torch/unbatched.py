"""State-space and hybrid models: one prompt at a time, by the generation of transformers.

Their layers keep a recurrent state, which rows of a batch cannot share as they share a KV cache.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from patientdx.protocols import GenerationSettings

_ATTENTION = {"full_attention", "sliding_attention"}


def has_plain_attention(model: Any) -> bool:
    """Whether keys and values are a model's only state, so that rows can come and go."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or _ATTENTION)
    stateful = getattr(model, "_is_stateful", False)
    shared = getattr(config, "num_kv_shared_layers", 0)
    return layers <= _ATTENTION and not stateful and not shared


def generate_alone(
    model: Any, prompt: Sequence[int], settings: GenerationSettings, ends: Iterable[int]
) -> list[int]:
    """The tokens of a reply, without its end token. Stop strings are left to the caller."""
    import torch

    if settings.max_new_tokens < 1:
        return []
    sampling: dict[str, Any] = {"do_sample": False}
    if settings.temperature > 0:
        sampling = {"do_sample": True, "temperature": settings.temperature}
        sampling |= {"top_k": 0, "top_p": 1.0}
    tokens = torch.tensor([list(prompt)], device=model.device)
    stops = sorted(ends)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(settings.seed)
        out = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=stops or None,
            pad_token_id=stops[0] if stops else 0,
            **sampling,
        )
    reply: list[int] = out[0, tokens.shape[1] :].tolist()
    return reply[:-1] if reply and reply[-1] in stops else reply


def logprobs_alone(
    model: Any, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Natural-log probabilities of continuations of one prompt, by one pass each."""
    import torch

    logprobs = []
    with torch.inference_mode():
        for continuation in continuations:
            tokens = torch.tensor([[*prompt, *continuation]], device=model.device)
            logits = model(input_ids=tokens, use_cache=False).logits[0, len(prompt) - 1 : -1]
            target = tokens[0, len(prompt) :, None]
            logits = logits.float()
            logprobs.append((logits.gather(-1, target)[:, 0] - logits.logsumexp(-1)).tolist())
    return logprobs
