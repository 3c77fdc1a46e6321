"""Opens a model by name with the backend that fits it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from patientdx.errors import ModelError
from patientdx.fetching.model_cache import locate_model
from patientdx.protocols import Chooser, Generator, Scorer

from .settings import DEFAULTS, ModelSettings, Warn, ignore_warning


class Model(Generator, Scorer, Chooser, Protocol):
    """A model of any backend; a missing ability raises ModelError when it is used."""

    def close(self) -> None:
        """Frees memory and connections."""
        ...


def open_model(
    spec: str, settings: ModelSettings = DEFAULTS, *, warn: Warn = ignore_warning
) -> Model:
    """A model by name: a .gguf file, a folder, `http(s)://…`, or a name of the model cache.

    A server's address may end in `#NAME`, which chooses one of its models. Raises ModelError for a
    missing or unusable model, ExtraMissingError where its backend is not installed.
    """
    if spec.startswith(("http://", "https://")):
        return _server(spec, settings, warn)
    path = locate_model(spec, settings.cache, settings.hub_cache)
    backend = _backend(path) if settings.backend == "auto" else settings.backend
    if backend == "server":
        raise ModelError(f"`{spec}` is no server", hint="a server is named by http://HOST:PORT")
    return _OPENERS[backend](path, settings, warn)


def _backend(path: Path) -> str:
    if path.is_dir():
        return "hf"
    if path.suffix == ".gguf":
        return "llamacpp"
    raise ModelError(
        f"{path}: neither a folder of safetensors nor a .gguf file",
        hint="pickled weights (.bin, .pt, .pth) are never opened: convert them to safetensors",
    )


def _server(spec: str, settings: ModelSettings, warn: Warn) -> Model:
    from .http.server import ServerModel

    if settings.backend not in {"auto", "server"}:
        raise ModelError(f"an address is opened by the backend `server`, not `{settings.backend}`")
    return ServerModel.connect(spec, settings, warn=warn)


def _llamacpp(path: Path, settings: ModelSettings, _warn: Warn) -> Model:
    from .llamacpp import LlamaCppModel

    return LlamaCppModel.load(path, settings)


def _hf(path: Path, settings: ModelSettings, warn: Warn) -> Model:
    from .torch.model import HfModel

    return HfModel.load(path, settings, warn=warn)


def _vllm(path: Path, settings: ModelSettings, warn: Warn) -> Model:
    from .vllm import VllmModel

    return VllmModel.load(path, settings, warn=warn)


_OPENERS: dict[str, Callable[[Path, ModelSettings, Warn], Model]] = {
    "llamacpp": _llamacpp,
    "hf": _hf,
    "vllm": _vllm,
}
