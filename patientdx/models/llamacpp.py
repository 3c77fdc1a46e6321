"""llama.cpp in this process, by the `xllamacpp` wheel: GGUF files on the CPU, without torch.

The wheel is a llama.cpp server that listens on the loopback device. It is given a key of its own
and is asked through that door: so a request can be interrupted, and tokens can be counted.
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
from patientdx.storage.file_digests import digest_of

from .answers import Answers, Tokens
from .http.concurrency import completions, each
from .http.llama_api import LlamaApi
from .http.wire import Address, UnansweredError, Wire
from .prompts import as_prompt, fitted
from .settings import DEFAULTS, ModelSettings

_CONTEXT = 4096  # tokens, where no other number is asked for
_MOST_METADATA = 1 << 26  # bytes


class LlamaCppModel:
    """A GGUF file."""

    def __init__(
        self,
        server: Any,
        api: LlamaApi,
        *,
        name: str,
        digest: str,
        batch: int,
        chat: bool,
        description: ModelDescription,
    ) -> None:
        self.name = name
        self.digest = digest
        self.batch = batch
        self.description = description
        self._server = server  # llama.cpp runs as long as this lives
        self._api = api
        self._chat = chat

    @classmethod
    def load(cls, path: Path, settings: ModelSettings = DEFAULTS) -> "LlamaCppModel":
        """Opens a file. Raises ModelError where llama.cpp cannot read it, ExtraMissingError."""
        _check(path, settings)
        require_package("xllamacpp", "local")
        key = secrets.token_urlsafe(24)
        batch = settings.batch or 1
        server = _started(path, settings, batch, key)
        address = Address.parse(server.listening_address, allow_remote=False)
        wire = Wire(address, key, settings.timeout_s, attempts=1)
        api = LlamaApi.connect(wire)
        chat = _wants_chat(path, settings)
        digest = digest_of(
            [path],
            model_folder(settings.cache) if settings.cache else None,
            backend=f"llamacpp {version('xllamacpp')}",
            context=api.context,
            chat=chat,
            kv="float32" if settings.dtype == "float32" else "float16",
        )
        return cls(
            server,
            api,
            name=path.stem,
            digest=digest,
            batch=batch,
            chat=chat,
            description=settings.describe(),
        )

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""

        def complete(prompt: str | Prompt) -> Completion:
            tokens, truncated = self._tokens(prompt, settings.max_new_tokens)
            return replace(self._api.complete(tokens, settings), truncated=truncated)

        return completions(each(complete, prompts, self.batch, self._api.wire))

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation given its prompt."""

        def ask(pair: tuple[str, str]) -> list[float]:
            return self._api.logprobs(*pair)

        found = each(ask, pairs, 1, self._api.wire)
        for one in found:
            if isinstance(one, UnansweredError):
                raise one
        return [one for one in found if isinstance(one, list)]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by place of the prompt, one after the other.

        llama.cpp keeps a prompt that it has read: a form costs a step of decoding a token.
        """
        if not prompts:
            return
        whole = as_prompt(prompts[0])
        question = self._shown(whole.before + whole.after)
        forms = Answers.of([[self._api.form(question, one) for one in group] for group in answers])
        settings = GenerationSettings(max_new_tokens=new_tokens)
        for place, prompt in enumerate(prompts):
            tokens, truncated = self._tokens(prompt, max(new_tokens, forms.longest))
            told: dict[Tokens, float] = {}
            for form in (form for group in forms.groups for form in group):
                values = self._api.form_logprobs(tokens, form)
                told |= {form[: at + 1]: value for at, value in enumerate(values)}
            reply = self._api.complete(tokens, settings)
            yield {place: Choice(forms.logprobs(told), reply.text, len(tokens), truncated)}

    def close(self) -> None:
        """Ends llama.cpp and frees its memory."""
        self._server = None

    def _tokens(self, prompt: str | Prompt, new: int) -> tuple[list[int], bool]:
        """Tokens of a prompt in the model's template, and whether it was cut for the context."""
        tokens = self._api.tokens(self._shown(as_prompt(prompt).text))
        room = self._api.context - new
        if len(tokens) <= room:
            return tokens, False
        text, _ = fitted(prompt, room, lambda text: len(self._api.tokens(self._shown(text))))
        return self._api.tokens(self._shown(text)), True

    def _shown(self, text: str) -> str:
        return self._api.rendered(text) if self._chat else text


def _check(path: Path, settings: ModelSettings) -> None:
    if settings.quantize != "none":
        raise ModelError(
            "a GGUF file is quantized as it is; llama.cpp quantizes nothing at opening",
            hint="leave --quantize out, or choose the backend hf or vllm",
        )
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise ModelError(f"{path}: cannot be read: {said}", hint=_WANTED) from error
    if magic != b"GGUF":
        raise ModelError(f"{path}: this is no GGUF file", hint=_WANTED)


_WANTED = "llama.cpp opens .gguf files; a folder of safetensors is opened by the backend hf"


def _started(path: Path, settings: ModelSettings, batch: int, key: str) -> Any:
    """llama.cpp with the model loaded, silent, with nothing open but what is asked here."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = (settings.context or _CONTEXT) * batch
    params.n_parallel = batch
    params.api_keys = [key]
    params.endpoint_slots = params.endpoint_metrics = params.ui = params.warmup = False
    params.cache_ram_mib = 0  # no prompt is kept once it is answered
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


def _wants_chat(path: Path, settings: ModelSettings) -> bool:
    if settings.prompt_format == "auto":
        return has_chat_template(path)
    return settings.prompt_format == "chat"


def has_chat_template(path: Path) -> bool:
    """Whether a GGUF file brings a chat template (llama.cpp has one of its own for the others)."""
    key = b"tokenizer.chat_template"
    with path.open("rb") as stream:  # a key stands after its length, before the tensors
        return len(key).to_bytes(8, "little") + key in stream.read(_MOST_METADATA)


def _idle_cores() -> int:
    """Cores that nobody uses, at least one.

    llama.cpp's threads wait for each other many times a token: one that has to share its core
    holds up all of them (with two threads on two busy cores a token takes 30 times as long).
    """
    cores = available_cores()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(cores, round(cores - busy)))
