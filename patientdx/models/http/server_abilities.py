"""What a server can do with prompts, asked for once when its model is opened.

Whether it takes chats cannot be read from the refusal of one prompt, which may be too long or hold
something else that the server dislikes: a question of one word decides, before any prompt is sent.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from patientdx.errors import ModelError
from patientdx.models.chat_templates import template_options
from patientdx.models.settings import ModelSettings
from patientdx.thinking import opened_thoughts

from .client import JsonClient, UnansweredError
from .llama_api import LlamaApi
from .served_models import ServedModel

QUESTION = "Hello"
"""The question of one word."""

CHAT_PATH = "/v1/chat/completions"
_NO_CHAT = frozenset({400, 404, 405, 422, 501})
_NO_LEAVE = frozenset({401, 403})
_SWITCHED_OFF = {"enable_thinking": False, "thinking": False}
_BYTE_LETTERS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})  # as tokenizers write them
_T = TypeVar("_T")


@dataclass(frozen=True)
class ServerAbilities:
    """How prompts reach the model.

    `chat` says whether they go through a chat template, which adds `template_tokens` (0: unknown)
    and may open the model's thoughts by a mark, `opened_thoughts`. `chat_fields` switch thinking
    off. `context` is in tokens, 0 where the server does not report it; `cut_lengths` are numbers of
    tokens to which it is known to cut longer prompts without a word.
    """

    chat: bool = True
    context: int = 0
    template_tokens: int = 0
    opened_thoughts: str = ""
    chat_fields: Mapping[str, Any] = field(default_factory=dict)
    cut_lengths: Collection[int] = ()


def ask_abilities(
    client: JsonClient, served: ServedModel, settings: ModelSettings
) -> ServerAbilities:
    """The abilities of a server. Raises ModelError where it wants another API key.

    What a server does not answer is left as it would be without the question.
    """
    abilities = ServerAbilities(settings.prompt_format != "raw", served.context)
    ask = _ASKERS.get(served.owner, _ask_any)
    once = JsonClient(client.address, client.api_key, client.timeout_s, attempts=1)
    try:
        return ask(once, served, abilities, settings.prompt_format == "auto")
    finally:
        once.close()


def _ask_any(
    client: JsonClient, served: ServedModel, abilities: ServerAbilities, may_be_raw: bool
) -> ServerAbilities:
    """Any server: the question itself, answered by one token."""
    if not may_be_raw:
        return abilities
    return replace(abilities, chat=_takes_chats(client, served, abilities.chat_fields))


def _takes_chats(client: JsonClient, served: ServedModel, fields: Mapping[str, Any]) -> bool:
    message = {"role": "user", "content": QUESTION}
    body = {"model": served.name, "messages": [message], "max_tokens": 1, "temperature": 0.0}
    try:
        client.request(CHAT_PATH, {**body, **fields})
    except UnansweredError as refusal:
        if refusal.status in _NO_LEAVE:
            raise ModelError(refusal.message, hint=refusal.hint) from None
        return refusal.status not in _NO_CHAT
    return True


def _ask_llamacpp(
    client: JsonClient, served: ServedModel, abilities: ServerAbilities, may_be_raw: bool
) -> ServerAbilities:
    """llama.cpp applies a template of its own where the model has none; it renders prompts."""
    del served, may_be_raw
    props = _answer(lambda: client.request("/props", parse=_LlamaProps.read))
    if props is None:
        return abilities
    abilities = replace(abilities, context=abilities.context or props.context)
    if not abilities.chat:
        return abilities
    api = LlamaApi(client, props.context)
    options = template_options(props.template)
    plain = _answer(lambda: api.render(QUESTION))
    answering = _answer(lambda: api.render(QUESTION, options)) if options else plain
    fields = {"chat_template_kwargs": options} if answering != plain else {}
    rendered = answering or plain or ""
    tokens = _answer(lambda: api.encode(rendered)) if rendered else None
    return replace(abilities, template_tokens=len(tokens or ()), chat_fields=fields)


@dataclass(frozen=True)
class _LlamaProps:
    context: int
    template: str

    @classmethod
    def read(cls, answer: Any) -> "_LlamaProps":
        context = int(answer["default_generation_settings"]["n_ctx"])
        return cls(context, str(answer.get("chat_template") or ""))


def _ask_vllm(
    client: JsonClient, served: ServedModel, abilities: ServerAbilities, may_be_raw: bool
) -> ServerAbilities:
    """VLLM tokenises chats, which shows the template without a reply."""
    if not abilities.chat:
        return abilities
    plain = _answer(lambda: _tokens_of_chat(client, served, {}))
    if plain is None:
        return _ask_any(client, served, abilities, may_be_raw)
    switched = {"chat_template_kwargs": _SWITCHED_OFF}
    answering = _answer(lambda: _tokens_of_chat(client, served, switched)) or plain
    return replace(
        abilities,
        template_tokens=len(answering),
        opened_thoughts=opened_thoughts("".join(answering).translate(_BYTE_LETTERS)),
        chat_fields=switched if answering != plain else {},
    )


def _tokens_of_chat(
    client: JsonClient, served: ServedModel, fields: Mapping[str, Any]
) -> Sequence[str]:
    body = {
        "model": served.name,
        "messages": [{"role": "user", "content": QUESTION}],
        "add_generation_prompt": True,
        "return_token_strs": True,
        **fields,
    }

    def read(answer: Any) -> list[str]:
        strings = answer.get("token_strs") or [""] * len(answer["tokens"])
        return [str(string) for string in strings]

    tokens: list[str] = client.request("/tokenize", body, read)
    return tokens


def _ask_ollama(
    client: JsonClient, served: ServedModel, abilities: ServerAbilities, may_be_raw: bool
) -> ServerAbilities:
    """Ollama names the abilities of a model, and the context of those that are loaded.

    Of a longer prompt it leaves half the context and two tokens (ollama/ollama#17427).
    """
    thinks = _answer(
        lambda: client.request(
            "/api/show",
            {"model": served.name},
            lambda answer: "thinking" in (answer.get("capabilities") or ()),
        )
    )
    if abilities.chat and thinks:
        off = {"reasoning_effort": "none"}
        if _takes_chats(client, served, off):
            abilities = replace(abilities, chat_fields=off)
    abilities = _ask_any(client, served, abilities, may_be_raw)  # which loads the model
    loaded = _answer(lambda: client.request("/api/ps", parse=_loaded_contexts)) or {}
    context = abilities.context or loaded.get(served.name, 0)
    halves = range(context // 2, context // 2 + 4) if context else ()
    return replace(abilities, context=context, cut_lengths=halves)


def _ask_lm_studio(
    client: JsonClient, served: ServedModel, abilities: ServerAbilities, may_be_raw: bool
) -> ServerAbilities:
    """LM Studio names the context of a loaded model in an interface of its own."""
    abilities = _ask_any(client, served, abilities, may_be_raw)  # which loads the model

    def read(answer: Any) -> int:
        contexts = {model["id"]: model.get("loaded_context_length") for model in answer["data"]}
        return int(contexts.get(served.name) or 0)

    context = _answer(lambda: client.request("/api/v0/models", parse=read)) or 0
    return replace(abilities, context=abilities.context or context)


def _loaded_contexts(answer: Any) -> dict[str, int]:
    models = answer.get("models") or ()
    return {str(model["name"]): int(model.get("context_length") or 0) for model in models}


def _answer(request: Callable[[], _T]) -> _T | None:
    """What a server answers to a question that others do not know; None without an answer."""
    try:
        return request()
    except UnansweredError:
        return None


_ASKERS: Mapping[str, Callable[[JsonClient, ServedModel, ServerAbilities, bool], ServerAbilities]]
_ASKERS = {
    "llamacpp": _ask_llamacpp,
    "vllm": _ask_vllm,
    "library": _ask_ollama,
    "organization_owner": _ask_lm_studio,
}
