"""GGUF files on the CPU by llama.cpp in this process, without torch (the wheel `xllamacpp`).

The wheel runs a llama.cpp server on the loopback device, here with a random API key. Requests over
HTTP can be interrupted, which calls into the library cannot.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import ModelError
from patientdx.fetching.model_cache import model_folder
from patientdx.processors import available_cores
from patientdx.protocols import (
    GREEDY,
    Choice,
    Completion,
    GenerationSettings,
    ModelDescription,
    Prompt,
)
from patientdx.storage.file_digests import digest_files

from .answers import AnswerForms, Tokens
from .http.address import ServerAddress
from .http.client import JsonClient
from .http.concurrency import request_all
from .http.llama_api import LlamaApi
from .http.llama_template import ChatTemplate
from .outcomes import require_completions
from .prompts import as_prompt, fit_prompt
from .settings import DEFAULTS, ModelSettings

_DEFAULT_CONTEXT = 4096  # tokens
_MOST_METADATA = 1 << 26  # bytes


class LlamaCppModel:
    """A GGUF model run by llama.cpp."""

    def __init__(
        self,
        server: Any,
        api: LlamaApi,
        *,
        name: str,
        digest: str,
        batch: int,
        template: ChatTemplate | None,
        description: ModelDescription,
    ) -> None:
        self.name = name
        self.digest = digest
        self.batch = batch
        self.description = description
        self._server = server  # llama.cpp runs as long as this lives
        self._api = api
        self._template = template

    @classmethod
    def load(cls, path: Path, settings: ModelSettings = DEFAULTS) -> "LlamaCppModel":
        """Opens a file. Raises ModelError where llama.cpp cannot read it, ExtraMissingError."""
        _check_file(path, settings)
        require_package("xllamacpp", "local")
        key = secrets.token_urlsafe(24)
        batch = settings.batch or 1
        server = _start_server(path, settings, batch, key)
        address = ServerAddress.parse(server.listening_address, allow_remote=False)
        api = LlamaApi.connect(JsonClient(address, key, settings.timeout_s, attempts=1))
        chat = _uses_chat_template(path, settings)
        template = ChatTemplate.read(api) if chat else None
        digest = digest_files(
            [path],
            model_folder(settings.cache) if settings.cache else None,
            backend=f"llamacpp {version('xllamacpp')}",
            context=api.context,
            chat=chat,
            kv="float32" if settings.dtype == "float32" else "float16",
            **(template.digest_facts if template else {}),
        )
        return cls(
            server,
            api,
            name=path.stem,
            digest=digest,
            batch=batch,
            template=template,
            description=settings.describe(),
        )

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""

        def complete(prompt: str | Prompt) -> Completion:
            tokens, truncated = self._encode_prompt(prompt, settings.max_new_tokens)
            completion = self._api.complete(tokens, settings)
            opened = self._template.opened_thoughts if self._template else ""
            return replace(completion, text=opened + completion.text, truncated=truncated)

        return require_completions(request_all(complete, prompts, self.batch, self._api.client))

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, conditional on its prompt."""

        def score(pair: tuple[str, str]) -> list[float]:
            return self._api.logprobs(*pair)

        outcomes = request_all(score, pairs, 1, self._api.client)
        for outcome in outcomes:
            if isinstance(outcome, ModelError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, list)]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by number of the prompt, one prompt at a time.

        llama.cpp keeps a prompt in its cache: a form costs one decoding step per token.
        """
        if not prompts:
            return
        forms = self._encode_answers(prompts[0], answers)
        settings = GenerationSettings(max_new_tokens=new_tokens)
        for number, prompt in enumerate(prompts):
            tokens, truncated = self._encode_prompt(prompt, max(new_tokens, forms.longest))
            token_logprobs: dict[Tokens, float] = {}
            for form in (form for group in forms.answers for form in group):
                values = self._api.answer_logprobs(tokens, form)
                token_logprobs |= {form[: at + 1]: value for at, value in enumerate(values)}
            reply = self._api.complete(tokens, settings).text
            yield {number: Choice(forms.logprobs(token_logprobs), reply, len(tokens), truncated)}

    def close(self) -> None:
        """Stops llama.cpp and frees its memory."""
        self._api.client.close()
        self._server = None

    def _encode_prompt(self, prompt: str | Prompt, new_tokens: int) -> tuple[list[int], bool]:
        """Tokens of a prompt in the model's template, and whether it was shortened to fit."""
        tokens = self._encode_rendered(as_prompt(prompt).text)
        most_tokens = self._api.context - new_tokens
        if len(tokens) <= most_tokens:
            return tokens, False
        text, _ = fit_prompt(prompt, most_tokens, lambda text: len(self._encode_rendered(text)))
        return self._encode_rendered(text), True

    def _encode_answers(
        self, prompt: str | Prompt, answers: Sequence[Sequence[str]]
    ) -> AnswerForms:
        parts = as_prompt(prompt)
        question = self._render(parts.before + parts.after)
        return AnswerForms.from_tokens(
            [[self._api.encode_answer(question, form) for form in forms] for forms in answers]
        )

    def _encode_rendered(self, text: str) -> list[int]:
        return self._api.encode(self._render(text))

    def _render(self, text: str) -> str:
        return self._template.render(text) if self._template else text


def _check_file(path: Path, settings: ModelSettings) -> None:
    if settings.quantize != "none":
        raise ModelError(
            "a GGUF file is quantized as it is; llama.cpp quantizes nothing when it opens one",
            hint="leave --quantize out, or choose the backend hf or vllm",
        )
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{path}: cannot be read: {reason}", hint=_FORMATS) from error
    if magic != b"GGUF":
        raise ModelError(f"{path}: this is no GGUF file", hint=_FORMATS)


_FORMATS = "llama.cpp opens .gguf files; a folder of safetensors is opened by the backend hf"


def _start_server(path: Path, settings: ModelSettings, batch: int, key: str) -> Any:
    """A llama.cpp server with the model loaded; silent, with unused endpoints disabled."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = (settings.context or _DEFAULT_CONTEXT) * batch
    params.n_parallel = batch
    params.api_keys = [key]
    params.endpoint_slots = params.endpoint_metrics = params.ui = params.warmup = False
    params.cache_ram_mib = 0  # keep no prompts after their answers
    params.verbosity = 0
    threads = settings.threads or _idle_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    if settings.device == "cpu":
        params.n_gpu_layers = 0
    if settings.dtype == "float32":
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"{path}: llama.cpp cannot load this file",
            hint="it may be damaged, of an architecture that this llama.cpp does not know, or too "
            "big for the memory",
        ) from error


def _uses_chat_template(path: Path, settings: ModelSettings) -> bool:
    if settings.prompt_format == "auto":
        return has_chat_template(path)
    return settings.prompt_format == "chat"


def has_chat_template(path: Path) -> bool:
    """Whether a GGUF file has a chat template (llama.cpp uses a default one for others)."""
    key = b"tokenizer.chat_template"
    with path.open("rb") as stream:  # keys are length-prefixed and precede the tensors
        return len(key).to_bytes(8, "little") + key in stream.read(_MOST_METADATA)


def _idle_cores() -> int:
    """Number of idle cores, at least one.

    llama.cpp's threads wait for each other many times per token: one that shares its core delays
    all of them (with two threads on two busy cores a token takes 30 times as long).
    """
    cores = available_cores()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(cores, round(cores - busy)))
