"""How a model is opened: backend, precision, format of prompts, size of the context."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from patientdx.protocols import ModelDescription

Backend = Literal["auto", "llamacpp", "hf", "vllm", "server"]
DType = Literal["auto", "bfloat16", "float16", "float32"]
Quantize = Literal["none", "nf4"]
PromptFormat = Literal["auto", "chat", "raw"]
Warn = Callable[[str], None]
"""Told, in a sentence without patient text, what the user should know."""


def ignore_warning(_warning: str) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True)
class ModelSettings:
    """What a backend needs to know; each takes what concerns it. Zero stands for its own choice.

    `context` is in tokens, `batch` in prompts at once, `timeout_s` in seconds a request.
    `prompt_format` "auto" applies the chat template where the model has one. `cache` is the
    folder that keeps fetched models and digests; without it big files are read each time.
    `model` names one of several models of a server. `allow_remote` says that prompts, and so
    patient text, may be sent to another machine.
    """

    backend: Backend = "auto"
    dtype: DType = "auto"
    quantize: Quantize = "none"
    prompt_format: PromptFormat = "auto"
    context: int = 0
    threads: int = 0
    batch: int = 0
    device: str = "auto"
    devices: int = 1
    cache: Path | None = None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    allow_remote: bool = False
    timeout_s: float = 300.0
    attempts: int = 4

    def describe(
        self, *, dtype: str | None = None, chat: bool | None = None, device: str | None = None
    ) -> ModelDescription:
        """How a model opened with these settings is run, with what its backend knows better.

        `chat` says whether prompts go through a chat template.
        """
        prompt_format = self.prompt_format if chat is None else "chat" if chat else "raw"
        return ModelDescription(
            dtype=self.dtype if dtype is None else dtype,
            prompt_format=prompt_format,
            quantization=self.quantize,
            context=self.context,
            device=self.device if device is None else device,
        )


DEFAULTS = ModelSettings()
