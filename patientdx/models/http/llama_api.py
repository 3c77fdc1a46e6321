"""llama.cpp's own endpoints: tokens, templates, completions, and the probabilities of a text.

It tells no probabilities of a prompt. But of each token it writes it tells the probability before
sampling, and a grammar of one string of tokens leaves it nothing else to write: so a continuation
is "written" and its probabilities read (a step of decoding a token; the prompt stays in its cache).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patientdx.models.prompts import beginning, split
from patientdx.models.tokenizer import too_long
from patientdx.protocols import Completion, GenerationSettings

from .wire import Wire

_MOST_FORCED = 256  # tokens in one grammar


@dataclass(frozen=True)
class LlamaApi:
    """A llama.cpp server; `context` is how many tokens a prompt and its reply may have together."""

    wire: Wire
    context: int

    @classmethod
    def connect(cls, wire: Wire) -> "LlamaApi":
        """Asks a server for the size of its context."""
        context = wire.ask("/props", read=lambda it: it["default_generation_settings"]["n_ctx"])
        return cls(wire, int(context))

    def tokens(self, text: str, *, begin: bool = True) -> list[int]:
        """The tokens of a text, after the one for a beginning where the model wants that."""
        body = {"content": text, "add_special": begin, "parse_special": True}
        found: list[int] = self.wire.ask(
            "/tokenize", body, lambda it: [int(token) for token in it["tokens"]]
        )
        return found

    def rendered(self, text: str) -> str:
        """A question in the chat template of the model."""
        body = {"messages": [{"role": "user", "content": text}]}
        found: str = self.wire.ask("/apply-template", body, lambda it: _string(it["prompt"]))
        return found

    def complete(self, tokens: Sequence[int], settings: GenerationSettings) -> Completion:
        """Completion of a prompt.

        Nothing of other requests is reused, so that equal tokens get equal completions.
        """
        body = {
            "prompt": list(tokens),
            "n_predict": settings.max_new_tokens,
            "stop": list(settings.stop),
            "cache_prompt": False,
            **_sampling(settings),
        }
        completion: Completion = self.wire.ask(
            "/completion", body, lambda answer: _completion(answer, len(tokens))
        )
        return completion

    def logprobs(self, prompt: str, continuation: str) -> list[float]:
        """Log-probabilities of the tokens of a continuation. Raises ModelError for a long one."""
        if prompt:
            before, after = split(
                prompt, continuation, self.tokens, lambda text: self.tokens(text, begin=False)
            )
        else:
            before, after = beginning(continuation, self.tokens, self._first())
        if len(before) + len(after) > self.context:
            raise too_long(len(before) + len(after), self.context)
        found: list[float] = []
        while after:
            part, after = after[:_MOST_FORCED], after[_MOST_FORCED:]
            found += self._forced(before, part)
            before = before + part
        return found

    def form(self, question: str, form: str) -> tuple[int, ...]:
        """The tokens of a text that a reply to a rendered question may begin with."""
        _, after = split(question, form, self.tokens, lambda text: self.tokens(text, begin=False))
        return tuple(after)

    def form_logprobs(self, prompt: list[int], form: Sequence[int]) -> list[float]:
        """Log-probabilities of the tokens of such a text, after a prompt in tokens."""
        return self._forced(prompt, list(form))

    def _first(self) -> int:
        """The token that a text follows."""
        begin = self.wire.ask("/props", read=lambda it: it.get("bos_token") or it["eos_token"])
        (token,) = self.tokens(begin, begin=False)
        return token

    def _forced(self, before: list[int], tokens: list[int]) -> list[float]:
        body = {
            "prompt": before,
            "n_predict": len(tokens),
            "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in tokens),
            "n_probs": 1,
            "temperature": 0.0,
            "cache_prompt": True,
        }

        def read(answer: Any) -> list[float]:
            told = answer["completion_probabilities"]
            if [one["id"] for one in told] != tokens:
                raise ValueError
            return [_logprob(one) for one in told]

        found: list[float] = self.wire.ask("/completion", body, read)
        return found


def _sampling(settings: GenerationSettings) -> Mapping[str, object]:
    """Greedy, or from the whole distribution at a temperature: no other filter, no penalty."""
    if settings.temperature <= 0:
        return {"temperature": 0.0}
    return {
        "temperature": settings.temperature,
        "seed": settings.seed,
        "samplers": ["temperature"],
    }


def _completion(answer: Any, prompt_tokens: int) -> Completion:
    return Completion(
        _string(answer["content"]),
        prompt_tokens=prompt_tokens,
        completion_tokens=int(answer["tokens_predicted"]) if "tokens_predicted" in answer else None,
        stop_reason="length" if answer.get("stop_type") == "limit" else "stop",
    )


def _logprob(token: Mapping[str, Any]) -> float:
    value = token["logprob"]
    return float("-inf") if value is None else float(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
