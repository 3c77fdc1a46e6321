"""Tokens over HTTP: those of a text, and the probabilities of a text by vLLM's `echo`."""

from dataclasses import dataclass
from typing import Any

from patientdx.models.abilities import unsupported
from patientdx.models.prompts import encode_pair

from .client import JsonClient, UnansweredError


@dataclass(frozen=True)
class TokenApi:
    """The endpoints of one model of a server that work on tokens."""

    client: JsonClient
    model: str

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text.

        It is sent as llama.cpp wants it (`content`) and as vLLM does (`prompt`).
        """
        body = {
            "model": self.model,
            "prompt": text,
            "content": text,
            "add_special_tokens": start,
            "add_special": start,
            "parse_special": True,
        }
        tokens: list[int] = self.client.request(
            "/tokenize", body, lambda answer: [int(token) for token in answer["tokens"]]
        )
        return tokens

    def logprobs(self, prompt: str, continuation: str) -> list[float]:
        """Log-probabilities by `echo`, which vLLM supports for prompts sent as tokens."""
        try:
            prefix, rest = self._encode_pair(prompt, continuation)
            if not rest:
                return []
            body = self._echo_request(prefix + rest)
            values = self.client.request("/v1/completions", body, _token_logprobs)
        except UnansweredError as refusal:
            if refusal.retryable or refusal.status is None:
                raise
            raise unsupported(self.model, "score") from None
        if len(values) < len(prefix) + len(rest):
            raise unsupported(self.model, "score")
        logprobs = values[len(prefix) : len(prefix) + len(rest)]
        return [float(logprob) for logprob in logprobs if logprob is not None]

    def _encode_pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        def encode_plain(text: str) -> list[int]:
            return self.encode(text, start=False)

        if prompt:
            return encode_pair(prompt, continuation, self.encode, encode_plain)
        tokens = self.encode(continuation)
        if tokens and tokens == encode_plain(continuation):
            raise unsupported(self.model, "read")
        return tokens[:1], tokens[1:]

    def _echo_request(self, tokens: list[int]) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": tokens,
            "echo": True,
            "logprobs": 1,
            "max_tokens": 1,
            "temperature": 0.0,
        }


def _token_logprobs(answer: Any) -> list[float | None]:
    logprobs = answer["choices"][0]["logprobs"]
    return list(logprobs["token_logprobs"]) if logprobs and "token_logprobs" in logprobs else []
