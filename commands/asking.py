"""Options of language models that several commands share, and the model that they name."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import ModelError

from . import options, output

if TYPE_CHECKING:
    from expander import CachedGenerator, GenerationProgress, ReplyCache

DEFAULT_MODEL = "smollm2"

Backend = Literal["auto", "llamacpp", "hf", "vllm", "server"]
Precision = Literal["auto", "bfloat16", "float16", "float32"]

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="PATIENTDX_MODEL",
        help="Language model: smollm2, a .gguf file, a folder of safetensors, a server.",
    ),
]
BackendName = Annotated[
    Backend,
    typer.Option("--backend", help="What runs the model (default: by what it is)."),
]
Quantize = Annotated[
    Literal["none", "nf4"], typer.Option("--quantize", help="nf4: four bits a weight (hf, vllm).")
]
Dtype = Annotated[
    Precision,
    typer.Option("--dtype", help="Precision of the model's numbers (hf, vllm)."),
]
PromptFormat = Annotated[
    Literal["auto", "chat", "raw"],
    typer.Option("--prompt-format", help="Apply the model's chat template, or do not."),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Keep no replies of the model after this command.")
]
AllowRemote = Annotated[
    bool,
    typer.Option("--allow-remote", help="Let PATIENT TEXT go to a server on another machine."),
]


@dataclass(frozen=True)
class Asked:
    """What the options say about the model, and about the vocabularies of synonyms."""

    model: str = DEFAULT_MODEL
    backend: Backend = "auto"
    quantize: Literal["none", "nf4"] = "none"
    dtype: Precision = "auto"
    prompt_format: Literal["auto", "chat", "raw"] = "auto"
    vocabulary: Sequence[Path] | None = None
    no_cache: bool = False
    allow_remote: bool = False
    quiet: bool = False


def cache_path() -> Path:
    """The file that keeps replies of language models."""
    return options.settings().cache / "expansions.sqlite3"


def generator(
    asked: Asked, stack: ExitStack, on_done: "Callable[[GenerationProgress], None] | None"
) -> "CachedGenerator":
    """The model that was asked for, closed by the stack, with the cache of its replies."""
    from expander import CachedGenerator
    from patientdx.models import ModelSettings, open_model

    def warn(sentence: str) -> None:
        output.say(f"warning: {sentence}", quiet=asked.quiet)

    def failed(error: ModelError, count: int) -> None:
        warn(f"{count:,} prompts got no reply: {error.message}")

    model = open_model(
        asked.model,
        ModelSettings(
            backend=asked.backend,
            quantize=asked.quantize,
            dtype=asked.dtype,
            prompt_format=asked.prompt_format,
            allow_remote=asked.allow_remote,
            threads=options.settings().threads,
            cache=options.settings().cache,
        ),
        warn=warn,
    )
    stack.callback(model.close)
    cache = _reply_cache(asked, stack)
    return CachedGenerator(model, cache, on_progress=on_done, on_failure=failed)


def _reply_cache(asked: Asked, stack: ExitStack) -> "ReplyCache":
    """The cache of replies; without one that lasts, one for this command alone."""
    from expander import ReplyCache

    path = cache_path()
    if asked.no_cache:
        path = (
            Path(stack.enter_context(TemporaryDirectory(prefix="patientdx-"))) / "replies.sqlite3"
        )
    return stack.enter_context(ReplyCache(path))
