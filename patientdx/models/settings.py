"""Settings for opening a model, for all backends."""

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
"""Receives warnings for the user: a sentence without patient text."""


def ignore_warning(_warning: str) -> None:
    """Drops a warning."""


@dataclass(frozen=True)
class ModelSettings:
    """Options of all backends; each uses those that apply to it. Zero leaves the choice to it.

    `context` is in tokens, `batch` in prompts per call, `timeout_s` in seconds per request.
    `device` is "auto", "cpu" or a name of torch such as "cuda:1"; `devices` is the number of GPUs
    that vLLM uses. `prompt_format` "auto" applies the chat template where the model has one.
    `cache` is the folder of fetched models and digests; without it large files are read every
    time. `hub_cache` is the cache of huggingface_hub, where models are found by their names.
    `model` names one of several models of a server, `api_key` is sent to it. `allow_remote`
    permits sending prompts, and so patient text, to another machine.
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
    hub_cache: Path | None = None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    allow_remote: bool = False
    timeout_s: float = 300.0
    attempts: int = 4

    def describe(
        self, *, dtype: str | None = None, chat: bool | None = None, device: str | None = None
    ) -> ModelDescription:
        """How a model opened with these settings is run; arguments are actual values.

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
