"""Options of language models, shared by all commands that run one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import options

if TYPE_CHECKING:
    from patientdx.models import ModelSettings

DEFAULT_MODEL = "smollm2"

Precision = Annotated[
    Literal["auto", "bfloat16", "float16", "float32"],
    typer.Option("--dtype", help="Number type of the model's weights (hf, vllm)."),
]
PromptFormat = Annotated[
    Literal["auto", "chat", "raw"],
    typer.Option(
        "--prompt-format",
        help="Whether the model's chat template is applied (auto: if it has one).",
    ),
]


Batch = Annotated[
    int,
    typer.Option(
        "--batch", min=0, help="Largest number of prompts the model reads at once (0: automatic)."
    ),
]
ContextSize = Annotated[
    int,
    typer.Option(
        "--context", min=0, help="Tokens of a prompt and its reply at most (0: the model's limit)."
    ),
]


@dataclass(frozen=True)
class LocalModelOptions:
    """How a language model is run on this machine; which model is for the command to say."""

    backend: Annotated[
        Literal["auto", "llamacpp", "hf", "vllm", "server"],
        typer.Option("--backend", help="Engine that runs the model (auto: by the model's format)."),
    ] = "auto"
    quantize: Annotated[
        Literal["none", "nf4"],
        typer.Option("--quantize", help="Quantisation; nf4: four bits a weight (hf, vllm)."),
    ] = "none"
    dtype: Precision = "auto"
    prompt_format: PromptFormat = "auto"
    device: Annotated[
        str, typer.Option("--device", help="Device of the model: auto, cpu, cuda, cuda:1 … (hf).")
    ] = "auto"
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="Number of GPUs that share the model (vllm).")
    ] = 1

    def model_settings(self, *, batch: int = 0, context: int = 0) -> "ModelSettings":
        """The settings that open a model; 0 leaves `batch` and `context` to the backend."""
        from patientdx.models import ModelSettings

        environment = options.settings()
        return ModelSettings(
            backend=self.backend,
            quantize=self.quantize,
            dtype=self.dtype,
            prompt_format=self.prompt_format,
            device=self.device,
            devices=self.devices,
            batch=batch,
            context=context,
            threads=environment.threads,
            cache=environment.cache,
            hub_cache=environment.hub_cache,
        )


@dataclass(frozen=True)
class ModelOptions(LocalModelOptions):
    """How a language model is run, on this machine or by a server."""

    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Let PATIENT TEXT go to a server on another machine."),
    ] = False
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            help="File with the API key of a server (default: PATIENTDX_API_KEY, if set).",
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, help="Seconds that a server has for each answer."),
    ] = 300.0

    def model_settings(self, *, batch: int = 0, context: int = 0) -> "ModelSettings":
        """See LocalModelOptions."""
        return replace(
            super().model_settings(batch=batch, context=context),
            allow_remote=self.allow_remote,
            api_key=options.api_key(self.api_key_file),
            timeout_s=self.timeout,
        )


@dataclass(frozen=True)
class GeneratorOptions(ModelOptions):
    """Which language model generates text, how it is run, and whether its replies are kept."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            envvar="PATIENTDX_MODEL",
            help="Language model: smollm2, a .gguf file, a folder of safetensors, a server.",
        ),
    ] = DEFAULT_MODEL
    context_size: ContextSize = 0
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep no replies of the model after this command.")
    ] = False
