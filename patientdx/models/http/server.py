"""Any OpenAI-compatible server: vLLM, llama.cpp, Ollama and others."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.prompts import as_prompt, fitted, split
from patientdx.models.refusals import cannot
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt, StopReason

from .concurrency import completions, each
from .llama_api import LlamaApi
from .wire import Address, Sleep, UnansweredError, Wire

_BATCH = 8
_TEMPLATE = 64  # tokens that a chat template may add, where the server cannot tell
_BYTES_PER_TOKEN = 3  # at least, in running text


@dataclass(frozen=True)
class _About:
    """What a server tells of the model: its name, its maker's word, tokens of context or 0."""

    name: str
    owner: str
    context: int
    entry: Mapping[str, Any]


class ServerModel:
    """A model behind `http(s)://HOST[:PORT][/v1]`.

    Its weights cannot be verified: the digest is that of its address, its name, and what the
    server tells of it.
    """

    def __init__(
        self, wire: Wire, about: _About, settings: ModelSettings, *, warn: Warn = ignore_warning
    ) -> None:
        self.name = about.name
        self.batch = settings.batch or _BATCH
        self.description = settings.describe()
        self.digest = _digest(wire.address, about, settings)
        self._wire = wire
        self._about = about
        self._context = settings.context or about.context
        self._chat = settings.prompt_format != "raw"
        self._may_choose = settings.prompt_format == "auto"
        self._counts = True
        if wire.address.is_remote:
            warn(f"prompts, and so patient text, are sent to {wire.address.host}")
        warn(f"the weights behind {wire.address} cannot be verified: replies are kept by its name")

    @classmethod
    def connect(
        cls,
        spec: str,
        settings: ModelSettings = DEFAULTS,
        *,
        warn: Warn = ignore_warning,
        sleep: Sleep | None = None,
    ) -> "ServerModel":
        """Asks a server which models it has; `#NAME` after the address chooses one.

        Raises ModelError for another machine unless that is allowed, for a server that does not
        answer, and for a model that it does not have.
        """
        url, _, fragment = spec.partition("#")
        url = url.rstrip("/").removesuffix("/v1")
        address = Address.parse(url, allow_remote=settings.allow_remote)
        wire = Wire(address, settings.api_key, settings.timeout_s, settings.attempts, sleep)
        models = wire.ask("/v1/models", read=lambda it: [_about(one) for one in it["data"]])
        return cls(wire, _chosen(models, fragment or settings.model, address), settings, warn=warn)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""

        def complete(prompt: str | Prompt) -> Completion:
            text, truncated = self._fitted(prompt, settings.max_new_tokens)
            return replace(self._reply(text, settings), truncated=truncated)

        return completions(each(complete, prompts, self.batch, self._wire))

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation given its prompt.

        llama.cpp's and vLLM's servers can tell them; raises ModelError for others, and for the
        token losses of a text where vLLM's model adds no token for a beginning: which token the
        other backends would have it follow is not told over HTTP.
        """
        if self._about.owner == "llamacpp":
            api = LlamaApi.connect(self._wire)
            return [api.logprobs(*pair) for pair in pairs]
        return [self._echoed(*pair) for pair in pairs]

    def choose(
        self,
        prompts: Sequence[str | Prompt],  # noqa: ARG002
        answers: Sequence[Sequence[str]],  # noqa: ARG002
        new_tokens: int = 2,  # noqa: ARG002
    ) -> Iterator[dict[int, Choice]]:
        """Raises ModelError: a server tells too few probabilities of a reply."""
        raise cannot(self.name, "choose")

    def close(self) -> None:
        """Nothing is held between requests."""

    def _reply(self, text: str, settings: GenerationSettings) -> Completion:
        if not self._chat:
            return self._ask("/v1/completions", {"prompt": text}, settings, _text_of)
        try:
            body = {"messages": [{"role": "user", "content": text}]}
            return self._ask("/v1/chat/completions", body, settings, _message_of)
        except UnansweredError as refusal:
            if not self._may_choose or refusal.status not in {400, 404, 405, 501}:
                raise
        # A model without a chat template: it continues the prompt as it is.
        reply = self._ask("/v1/completions", {"prompt": text}, settings, _text_of)
        self._chat = False
        return reply

    def _ask(
        self, path: str, body: Mapping[str, Any], settings: GenerationSettings, read: Any
    ) -> Completion:
        self._may_choose = self._may_choose and self._chat
        asked: dict[str, Any] = {
            "model": self.name,
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            **body,
        }
        if settings.stop:
            asked["stop"] = list(settings.stop)
        if settings.temperature > 0:
            asked |= {"seed": settings.seed, "top_p": 1.0}
        completion: Completion = self._wire.ask(
            path, asked, lambda answer: _completion(read(answer), answer)
        )
        return completion

    def _fitted(self, prompt: str | Prompt, new: int) -> tuple[str, bool]:
        """Text of a prompt, and whether it was cut because the context is known to be short."""
        whole = as_prompt(prompt)
        if not self._context:
            return whole.text, False
        room = self._context - new - (_TEMPLATE if self._chat else 0)
        if len(whole.text.encode()) <= room:  # a token has a byte or more
            return whole.text, False
        return fitted(whole, room, self._count)

    def _count(self, text: str) -> int:
        """Tokens of a text: counted by the server where it can, else estimated from above."""
        if self._counts:
            try:
                return len(self._tokens(text))
            except UnansweredError as refusal:
                if refusal.again:
                    raise
                self._counts = False
        return len(text.encode()) // _BYTES_PER_TOKEN + 1

    def _tokens(self, text: str, *, begin: bool = True) -> list[int]:
        """As llama.cpp (`content`) and vLLM (`prompt`) are asked; each overlooks the other's."""
        body = {
            "model": self.name,
            "prompt": text,
            "content": text,
            "add_special_tokens": begin,
            "add_special": begin,
            "parse_special": True,
        }
        found: list[int] = self._wire.ask(
            "/tokenize", body, lambda it: [int(token) for token in it["tokens"]]
        )
        return found

    def _echoed(self, prompt: str, continuation: str) -> list[float]:
        """By `echo`, which vLLM honours when it is given tokens."""
        try:
            before, after = self._pair(prompt, continuation)
            if not after:
                return []
            told = self._wire.ask("/v1/completions", self._echo(before + after), _told)
        except UnansweredError as refusal:
            if refusal.again or refusal.status is None:
                raise
            raise cannot(self.name, "score") from None
        if len(told) < len(before) + len(after):
            raise cannot(self.name, "score")
        values = told[len(before) : len(before) + len(after)]
        return [float(value) for value in values if value is not None]

    def _pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        def plain(text: str) -> list[int]:
            return self._tokens(text, begin=False)

        if prompt:
            return split(prompt, continuation, self._tokens, plain)
        tokens = self._tokens(continuation)
        if tokens and tokens == plain(continuation):
            raise cannot(self.name, "read")
        return tokens[:1], tokens[1:]

    def _echo(self, tokens: list[int]) -> dict[str, Any]:
        return {
            "model": self.name,
            "prompt": tokens,
            "echo": True,
            "logprobs": 1,
            "max_tokens": 1,
            "temperature": 0.0,
        }


def _about(entry: Mapping[str, Any]) -> _About:
    meta = entry.get("meta") or {}
    context = entry.get("max_model_len") or meta.get("n_ctx") or 0
    owner = str(entry.get("owned_by", ""))
    kept = {key: value for key, value in entry.items() if key not in {"created", "permission"}}
    return _About(str(entry["id"]), owner, int(context), kept)


def _chosen(models: list[_About], name: str | None, address: Address) -> _About:
    found = [model for model in models if name in {None, model.name}]
    if found and (name or len(models) == 1):
        return found[0]
    names = ", ".join(model.name for model in models[:8])
    hint = f"name one of its models after a #: {names}" if models else "start it with a model"
    has = f"has no model `{name}`" if name else f"has {len(models)} models"
    raise ModelError(f"{address} {has}", hint=hint)


def _digest(address: Address, about: _About, settings: ModelSettings) -> str:
    matters = [str(address), about.entry, settings.prompt_format, settings.context]
    found = hashlib.sha256(json.dumps(matters, sort_keys=True, default=str).encode())
    return f"unverified-{found.hexdigest()}"


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
    # A model that only "reasoned" has null here: it said nothing.
    content = answer["choices"][0]["message"]["content"]
    return "" if content is None else _string(content)


def _told(answer: Any) -> list[float | None]:
    told = answer["choices"][0]["logprobs"]
    return list(told["token_logprobs"]) if told and "token_logprobs" in told else []


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
