"""llama.cpp's own endpoints: tokens, templates, completions, and the probabilities of a text.

The server returns no probabilities of a prompt, but those of the tokens it writes, before sampling.
A grammar that allows a single string of tokens makes it write one particular continuation, which
costs one decoding step per token; the prompt stays in the server's cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patientdx.models.prompts import encode_pair, encode_text
from patientdx.models.tokenizer import context_exceeded
from patientdx.protocols import Completion, GenerationSettings
from patientdx.thinking import MARKERS

from .client import JsonClient

_MOST_GRAMMAR_TOKENS = 256


@dataclass(frozen=True)
class LlamaApi:
    """A llama.cpp server; `context` bounds the tokens of a prompt and its reply together."""

    client: JsonClient
    context: int

    @classmethod
    def connect(cls, client: JsonClient) -> "LlamaApi":
        """Reads the size of the context from the server."""
        context = client.request(
            "/props", parse=lambda answer: answer["default_generation_settings"]["n_ctx"]
        )
        return cls(client, int(context))

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text, after the start token where the model has one."""
        body = {"content": text, "add_special": start, "parse_special": True}
        tokens: list[int] = self.client.request(
            "/tokenize", body, lambda answer: [int(token) for token in answer["tokens"]]
        )
        return tokens

    def render(self, text: str, options: Mapping[str, Any] | None = None) -> str:
        """A question in the chat template of the model, which is passed `options`."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
        if options:
            body["chat_template_kwargs"] = dict(options)
        rendered: str = self.client.request(
            "/apply-template", body, lambda answer: _string(answer["prompt"])
        )
        return rendered

    def complete(self, tokens: Sequence[int], settings: GenerationSettings) -> Completion:
        """Completion of a prompt.

        Nothing of other requests is reused, so that equal tokens get equal completions.
        """
        body = {
            "prompt": list(tokens),
            "n_predict": settings.max_new_tokens,
            "stop": list(settings.stop),
            "cache_prompt": False,
            "preserved_tokens": list(MARKERS),
            **_sampling(settings),
        }
        completion: Completion = self.client.request(
            "/completion", body, lambda answer: _completion(answer, len(tokens))
        )
        return completion

    def logprobs(self, prompt: str, continuation: str) -> list[float]:
        """Log-probabilities of the tokens of a continuation. Raises ModelError for a long one."""
        if prompt:
            prefix, rest = encode_pair(prompt, continuation, self.encode, self._encode_plain)
        else:
            prefix, rest = encode_text(continuation, self.encode, self._start_token())
        if len(prefix) + len(rest) > self.context:
            raise context_exceeded(len(prefix) + len(rest), self.context)
        logprobs: list[float] = []
        while rest:
            part, rest = rest[:_MOST_GRAMMAR_TOKENS], rest[_MOST_GRAMMAR_TOKENS:]
            logprobs += self._continuation_logprobs(prefix, part)
            prefix = prefix + part
        return logprobs

    def encode_answer(self, question: str, answer: str) -> tuple[int, ...]:
        """The tokens of a text with which a reply to a rendered question may begin."""
        _, tokens = encode_pair(question, answer, self.encode, self._encode_plain)
        return tuple(tokens)

    def answer_logprobs(self, prompt: list[int], answer: Sequence[int]) -> list[float]:
        """Log-probabilities of the tokens of an answer that follows a prompt."""
        return self._continuation_logprobs(prompt, list(answer))

    def _encode_plain(self, text: str) -> list[int]:
        return self.encode(text, start=False)

    def _start_token(self) -> int:
        """The token before a text: that for a beginning, else that for an end."""
        text = self.client.request(
            "/props", parse=lambda answer: answer.get("bos_token") or answer["eos_token"]
        )
        (token,) = self._encode_plain(text)
        return token

    def _continuation_logprobs(self, prompt: list[int], tokens: list[int]) -> list[float]:
        body = {
            "prompt": prompt,
            "n_predict": len(tokens),
            "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in tokens),
            "n_probs": 1,
            "temperature": 0.0,
            "cache_prompt": True,
        }

        def parse(answer: Any) -> list[float]:
            entries = answer["completion_probabilities"]
            if [entry["id"] for entry in entries] != tokens:
                raise ValueError
            return [_logprob(entry) for entry in entries]

        logprobs: list[float] = self.client.request("/completion", body, parse)
        return logprobs


def _sampling(settings: GenerationSettings) -> Mapping[str, object]:
    """Greedy, or sampling from the full distribution at a temperature, without other filters."""
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
