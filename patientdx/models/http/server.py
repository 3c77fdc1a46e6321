"""Any OpenAI-compatible server: vLLM, llama.cpp, Ollama and others."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.abilities import unsupported
from patientdx.models.prompts import as_prompt, encode_pair, fit_prompt
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt, StopReason

from .address import ServerAddress
from .client import JsonClient, Sleep, UnansweredError
from .concurrency import request_all, require_completions
from .llama_api import LlamaApi

_BATCH = 8
_TEMPLATE_TOKENS = 64  # that a chat template may add; no server reports the number
_BYTES_PER_TOKEN = 3  # at least, in running text


@dataclass(frozen=True)
class _ServedModel:
    """An entry of `/v1/models`; `context` is in tokens, 0 where the server does not report it."""

    name: str
    owner: str
    context: int
    entry: Mapping[str, Any]


class ServerModel:
    """A model behind `http(s)://HOST[:PORT][/v1]`.

    Its weights cannot be verified: the digest covers its address and its `/v1/models` entry.
    """

    def __init__(
        self,
        client: JsonClient,
        served: _ServedModel,
        settings: ModelSettings,
        *,
        warn: Warn = ignore_warning,
    ) -> None:
        self.name = served.name
        self.batch = settings.batch or _BATCH
        self.description = settings.describe()
        self.digest = _digest(client.address, served, settings)
        self._client = client
        self._served = served
        self._context = settings.context or served.context
        self._chat = settings.prompt_format != "raw"
        self._may_fall_back = settings.prompt_format == "auto"
        self._can_tokenize = True
        address = client.address
        if address.is_remote:
            warn(f"prompts, and so patient text, are sent to {address.host}")
        warn(f"the weights behind {address} cannot be verified: replies are kept by its name")

    @classmethod
    def connect(
        cls,
        spec: str,
        settings: ModelSettings = DEFAULTS,
        *,
        warn: Warn = ignore_warning,
        sleep: Sleep | None = None,
    ) -> "ServerModel":
        """A model of a server; `#NAME` after the address chooses one of several.

        Raises ModelError for another machine unless that is allowed, for a server that does not
        answer, and for a model that it does not have.
        """
        url, _, fragment = spec.partition("#")
        url = url.rstrip("/").removesuffix("/v1")
        address = ServerAddress.parse(url, allow_remote=settings.allow_remote)
        client = JsonClient(address, settings.api_key, settings.timeout_s, settings.attempts, sleep)
        models = client.request(
            "/v1/models", parse=lambda answer: [_served_model(entry) for entry in answer["data"]]
        )
        served = _choose_model(models, fragment or settings.model, address)
        return cls(client, served, settings, warn=warn)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""

        def complete(prompt: str | Prompt) -> Completion:
            text, truncated = self._fit(prompt, settings.max_new_tokens)
            return replace(self._complete(text, settings), truncated=truncated)

        return require_completions(request_all(complete, prompts, self.batch, self._client))

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, conditional on its prompt.

        The servers of llama.cpp and vLLM return them. Raises ModelError for others, and for the
        token losses of a text where vLLM's model adds no start token: which token the other
        backends would put there cannot be read over HTTP.
        """
        if self._served.owner == "llamacpp":
            api = LlamaApi.connect(self._client)
            return [api.logprobs(*pair) for pair in pairs]
        return [self._echo_logprobs(*pair) for pair in pairs]

    def choose(
        self,
        prompts: Sequence[str | Prompt],  # noqa: ARG002
        answers: Sequence[Sequence[str]],  # noqa: ARG002
        new_tokens: int = 2,  # noqa: ARG002
    ) -> Iterator[dict[int, Choice]]:
        """Raises ModelError: servers return too few probabilities of a reply."""
        raise unsupported(self.name, "choose")

    def close(self) -> None:
        """Closes idle connections."""
        self._client.close()

    def _complete(self, text: str, settings: GenerationSettings) -> Completion:
        if not self._chat:
            return self._post("/v1/completions", {"prompt": text}, settings, _text_of)
        try:
            body = {"messages": [{"role": "user", "content": text}]}
            return self._post("/v1/chat/completions", body, settings, _message_of)
        except UnansweredError as refusal:
            if not self._may_fall_back or refusal.status not in {400, 404, 405, 501}:
                raise
        # A model without a chat template: it continues the prompt as it is.
        completion = self._post("/v1/completions", {"prompt": text}, settings, _text_of)
        self._chat = False
        return completion

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        settings: GenerationSettings,
        read_text: Callable[[Any], str],
    ) -> Completion:
        self._may_fall_back = self._may_fall_back and self._chat
        request: dict[str, Any] = {
            "model": self.name,
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            **body,
        }
        if settings.stop:
            request["stop"] = list(settings.stop)
        if settings.temperature > 0:
            request |= {"seed": settings.seed, "top_p": 1.0}
        completion: Completion = self._client.request(
            path, request, lambda answer: _completion(read_text(answer), answer)
        )
        return completion

    def _fit(self, prompt: str | Prompt, new_tokens: int) -> tuple[str, bool]:
        """Text of a prompt, and whether it was shortened; never, where the context is unknown."""
        full_prompt = as_prompt(prompt)
        if not self._context:
            return full_prompt.text, False
        most_tokens = self._context - new_tokens - (_TEMPLATE_TOKENS if self._chat else 0)
        if len(full_prompt.text.encode()) <= most_tokens:  # a token has a byte or more
            return full_prompt.text, False
        return fit_prompt(full_prompt, most_tokens, self._count_tokens)

    def _count_tokens(self, text: str) -> int:
        """Tokens of a text, counted by the server if it can, else estimated from above."""
        if self._can_tokenize:
            try:
                return len(self._encode(text))
            except UnansweredError as refusal:
                if refusal.retryable:
                    raise
                self._can_tokenize = False
        return len(text.encode()) // _BYTES_PER_TOKEN + 1

    def _encode(self, text: str, *, start: bool = True) -> list[int]:
        """The fields of llama.cpp (`content`) and of vLLM (`prompt`): each ignores the other's."""
        body = {
            "model": self.name,
            "prompt": text,
            "content": text,
            "add_special_tokens": start,
            "add_special": start,
            "parse_special": True,
        }
        tokens: list[int] = self._client.request(
            "/tokenize", body, lambda answer: [int(token) for token in answer["tokens"]]
        )
        return tokens

    def _echo_logprobs(self, prompt: str, continuation: str) -> list[float]:
        """Log-probabilities by `echo`, which vLLM supports for prompts sent as tokens."""
        try:
            prefix, rest = self._encode_pair(prompt, continuation)
            if not rest:
                return []
            body = self._echo_request(prefix + rest)
            values = self._client.request("/v1/completions", body, _token_logprobs)
        except UnansweredError as refusal:
            if refusal.retryable or refusal.status is None:
                raise
            raise unsupported(self.name, "score") from None
        if len(values) < len(prefix) + len(rest):
            raise unsupported(self.name, "score")
        logprobs = values[len(prefix) : len(prefix) + len(rest)]
        return [float(logprob) for logprob in logprobs if logprob is not None]

    def _encode_pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        def encode_plain(text: str) -> list[int]:
            return self._encode(text, start=False)

        if prompt:
            return encode_pair(prompt, continuation, self._encode, encode_plain)
        tokens = self._encode(continuation)
        if tokens and tokens == encode_plain(continuation):
            raise unsupported(self.name, "read")
        return tokens[:1], tokens[1:]

    def _echo_request(self, tokens: list[int]) -> dict[str, Any]:
        return {
            "model": self.name,
            "prompt": tokens,
            "echo": True,
            "logprobs": 1,
            "max_tokens": 1,
            "temperature": 0.0,
        }


def _served_model(entry: Mapping[str, Any]) -> _ServedModel:
    meta = entry.get("meta") or {}
    context = entry.get("max_model_len") or meta.get("n_ctx") or 0
    owner = str(entry.get("owned_by", ""))
    stable = {key: value for key, value in entry.items() if key not in {"created", "permission"}}
    return _ServedModel(str(entry["id"]), owner, int(context), stable)


def _choose_model(
    models: list[_ServedModel], name: str | None, address: ServerAddress
) -> _ServedModel:
    matches = [model for model in models if name in {None, model.name}]
    if matches and (name or len(models) == 1):
        return matches[0]
    names = ", ".join(model.name for model in models[:8])
    hint = f"name one of its models after a #: {names}" if models else "start it with a model"
    problem = f"has no model `{name}`" if name else f"has {len(models)} models"
    raise ModelError(f"{address} {problem}", hint=hint)


def _digest(address: ServerAddress, served: _ServedModel, settings: ModelSettings) -> str:
    facts = [str(address), served.entry, settings.prompt_format, settings.context]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    return f"unverified-{digest.hexdigest()}"


def _completion(text: str, answer: Any) -> Completion:
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Completion(
        text,
        prompt_tokens=_int_or_none(counts.get("prompt_tokens")),
        completion_tokens=_int_or_none(counts.get("completion_tokens")),
        stop_reason=_stop_reason(answer["choices"][0].get("finish_reason")),
    )


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _stop_reason(value: object) -> StopReason | None:
    if value == "length":
        return "length"
    return "stop" if value == "stop" else None


def _text_of(answer: Any) -> str:
    return _string(answer["choices"][0]["text"])


def _message_of(answer: Any) -> str:
    # null where a model only "reasoned": an empty reply.
    content = answer["choices"][0]["message"]["content"]
    return "" if content is None else _string(content)


def _token_logprobs(answer: Any) -> list[float | None]:
    logprobs = answer["choices"][0]["logprobs"]
    return list(logprobs["token_logprobs"]) if logprobs and "token_logprobs" in logprobs else []


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
