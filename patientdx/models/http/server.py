"""Any OpenAI-compatible server: vLLM, llama.cpp, Ollama and others."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.abilities import unsupported
from patientdx.models.outcomes import require_completions
from patientdx.models.prompts import as_prompt, fit_prompt
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt
from patientdx.thinking import UNFINISHED

from .address import ServerAddress
from .client import JsonClient, Sleep, UnansweredError
from .concurrency import request_all
from .llama_api import LlamaApi
from .replies import ServerReply, holds_marker, read_chat_reply, read_text_reply
from .served_models import ServedModel, find_served_model
from .server_abilities import CHAT_PATH, ServerAbilities, ask_abilities
from .token_api import TokenApi

_BATCH = 8
_TEMPLATE_TOKENS = 64  # that a chat template is taken to add, at least
_BYTES_PER_TOKEN = 3  # at least, in running text
_SAFE_TOKENS = 2048  # no server in use has a shorter context
_SHARES = (0.9, 0.8, 0.65, 0.5)  # of its tokens that a prompt keeps when it was too long
_LEAST_CONTEXT = 512  # a shorter one is a slip in the server's counting


class ServerModel:
    """A model behind `http(s)://HOST[:PORT][/v1]`.

    Its weights cannot be verified: the digest covers its address and its `/v1/models` entry, and
    how prompts reach it.
    """

    def __init__(
        self,
        client: JsonClient,
        served: ServedModel,
        settings: ModelSettings,
        abilities: ServerAbilities | None = None,
        *,
        warn: Warn = ignore_warning,
    ) -> None:
        abilities = abilities or ServerAbilities(settings.prompt_format != "raw", served.context)
        self.name = served.name
        self.batch = settings.batch or _BATCH
        self.description = settings.describe()
        self.digest = _digest(client.address, served, settings, abilities)
        self._client = client
        self._served = served
        self._abilities = abilities
        self._context = settings.context or abilities.context
        self._opened_thoughts = abilities.opened_thoughts
        self._tokens = TokenApi(client, served.name)
        self._can_tokenize = True
        self._has_reported_cut = False
        self._warn = warn
        _report_address(client, abilities, settings, warn)

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
        served = find_served_model(client, fragment or settings.model)
        abilities = ask_abilities(client, served, settings)
        return cls(client, served, settings, abilities, warn=warn)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""

        def complete(prompt: str | Prompt) -> ServerReply:
            return self._complete_fitting(as_prompt(prompt), settings)

        outcomes = request_all(complete, prompts, self.batch, self._client)
        replies = [reply for reply in outcomes if isinstance(reply, ServerReply)]
        if self._abilities.chat and any(_lacks_opening(reply) for reply in replies):
            self._opened_thoughts = self._opened_thoughts or UNFINISHED
        return require_completions(
            [
                reply if isinstance(reply, ModelError) else reply.marked(self._opened_thoughts)
                for reply in outcomes
            ]
        )

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, conditional on its prompt.

        The servers of llama.cpp and vLLM return them. Raises ModelError for others, and for the
        token losses of a text where vLLM's model adds no start token: which token the other
        backends would put there cannot be read over HTTP.
        """
        if self._served.owner == "llamacpp":
            api = LlamaApi.connect(self._client)
            return [api.logprobs(*pair) for pair in pairs]
        return [self._tokens.logprobs(*pair) for pair in pairs]

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

    def _complete_fitting(self, prompt: Prompt, settings: GenerationSettings) -> ServerReply:
        """The reply to a prompt, which is cut to fit, and again where the server finds it too long.

        Each prompt is cut for itself, so that its reply does not depend on the others.
        """
        context: int | None = self._context
        room = self._room(context, settings)
        shares = iter(_SHARES)
        while True:
            text, truncated = self._fit(prompt, room)
            try:
                reply = self._complete(text, settings)
                self._check_reading(text, reply.completion)
            except UnansweredError as refusal:
                share = next(shares, None)
                if not refusal.exceeds_context or share is None:
                    raise
                smaller = int(self._count_tokens(text) * share)
                context = refusal.context or context
                reported = self._room(refusal.context, settings)
                room = smaller if reported is None else min(smaller, reported)
                continue
            unchecked = not context and self._may_exceed(text, settings)
            completion = replace(reply.completion, truncated=truncated, unchecked=unchecked)
            return replace(reply, completion=completion)

    def _complete(self, text: str, settings: GenerationSettings) -> ServerReply:
        if not self._abilities.chat:
            return self._post("/v1/completions", {"prompt": text}, settings, read_text_reply)
        body = {"messages": [{"role": "user", "content": text}], **self._abilities.chat_fields}
        return self._post(CHAT_PATH, body, settings, read_chat_reply)

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        settings: GenerationSettings,
        read_reply: Callable[[Any], ServerReply],
    ) -> ServerReply:
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
        reply: ServerReply = self._client.request(path, request, read_reply)
        return reply

    def _room(self, context: int | None, settings: GenerationSettings) -> int | None:
        """Tokens that a context has for a prompt; None where the context is unknown."""
        if not context:
            return None
        template = max(_TEMPLATE_TOKENS, self._abilities.template_tokens)
        return context - settings.max_new_tokens - (template if self._abilities.chat else 0)

    def _fit(self, prompt: Prompt, room: int | None) -> tuple[str, bool]:
        """Text of a prompt in at most `room` tokens, and whether it was shortened."""
        if room is None or len(prompt.text.encode()) <= room:  # a token has a byte or more
            return prompt.text, False
        return fit_prompt(prompt, room, self._count_tokens)

    def _may_exceed(self, text: str, settings: GenerationSettings) -> bool:
        """Whether a prompt could be longer than the shortest context in use."""
        room = self._room(_SAFE_TOKENS, settings)
        return room is not None and len(text.encode()) > room

    def _check_reading(self, text: str, completion: Completion) -> None:
        """Raise UnansweredError where the server read a part of a prompt only.

        Some servers cut the beginning of a long prompt, and with it the question, without a word. A
        token is a word at most: fewer tokens than words were not all of the prompt.
        """
        read, words = completion.prompt_tokens or 0, len(text.split())
        if read == 0 or (read >= words and read not in self._abilities.cut_lengths):
            return
        error = UnansweredError(
            f"the server read {read:,} tokens of a prompt of {words:,} words",
            hint=f"its context is shorter than the prompt: name it by --context {read}",
        )
        error.exceeds_context = read >= _LEAST_CONTEXT
        error.context = read
        error.concerns_prompt = True
        if error.exceeds_context and not self._has_reported_cut:
            self._has_reported_cut = True
            again = f"such prompts are cut and sent again; --context {read} does so at once"
            self._warn(f"{error.message}: {again}")
        raise error

    def _count_tokens(self, text: str) -> int:
        """Tokens of a text, counted by the server if it can, else estimated from above."""
        if self._can_tokenize:
            try:
                return len(self._tokens.encode(text))
            except UnansweredError as refusal:
                if refusal.retryable:
                    raise
                self._can_tokenize = False
        return len(text.encode()) // _BYTES_PER_TOKEN + 1


def _lacks_opening(reply: ServerReply) -> bool:
    """Whether a reply closes thoughts that it does not open."""
    text = reply.completion.text
    _, closing, _ = text.partition("</think>")
    return bool(closing) and not holds_marker(text.partition(closing)[0])


def _report_address(
    client: JsonClient, abilities: ServerAbilities, settings: ModelSettings, warn: Warn
) -> None:
    """Warn where patient text goes, and what cannot be relied upon."""
    address = client.address
    if address.is_remote:
        warn(f"prompts, and so patient text, are sent to {address.host}")
    if address.is_remote and address.scheme == "http":
        sent = "patient text and the API key are" if client.api_key else "patient text is"
        warn(f"{sent} sent to {address.host} unencrypted: its address begins with http, not https")
    warn(f"the weights behind {address} cannot be verified: replies are kept by its name")
    if settings.prompt_format == "auto" and not abilities.chat:
        warn(f"{address} takes no chats: prompts are sent without a chat template")


def _digest(
    address: ServerAddress,
    served: ServedModel,
    settings: ModelSettings,
    abilities: ServerAbilities,
) -> str:
    """Names what decides on the replies.

    Chats under "auto" keep the name that they had before servers were asked what they take.
    """
    prompt_format = settings.prompt_format if abilities.chat else "raw"
    facts = [str(address), served.entry, prompt_format, settings.context]
    thinking = [dict(abilities.chat_fields), abilities.opened_thoughts]
    facts += thinking if any(thinking) else []
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    return f"unverified-{digest.hexdigest()}"
