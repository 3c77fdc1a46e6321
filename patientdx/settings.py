"""Settings from environment variables, which options of the command line override.

The command line passes the environment in; nothing here reads it directly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .fetching.hub_cache import hub_cache_folder


@dataclass(frozen=True)
class Settings:
    """Settings that hold for all commands; zero threads stands for all cores."""

    cache: Path
    index: Path | None
    threads: int
    allow_fetch: bool
    hub: str
    hub_cache: Path | None = None
    """The cache of huggingface_hub, where models that are here are found by their names."""


def settings_from_environment(environ: Mapping[str, str], home: Path) -> Settings:
    """Settings from environment variables. Raises InputError for an invalid value."""
    index = environ.get("PATIENTDX_INDEX")
    return Settings(
        cache=_cache_folder(environ.get("PATIENTDX_CACHE"), environ.get("XDG_CACHE_HOME"), home),
        index=Path(index) if index else None,
        threads=_positive_integer(environ, "PATIENTDX_THREADS"),
        allow_fetch=environ.get("PATIENTDX_ALLOW_FETCH", "").lower() in {"1", "true", "yes"},
        hub=environ.get("PATIENTDX_HUB", "https://huggingface.co"),
        hub_cache=hub_cache_folder(environ, home),
    )


def default_settings() -> Settings:
    """Settings of a process that sets nothing, for calls from Python."""
    return settings_from_environment({}, Path.home())


def _cache_folder(own: str | None, xdg: str | None, home: Path) -> Path:
    if own:
        return Path(own).expanduser()
    return Path(xdg).expanduser() / "patientdx" if xdg else home / ".cache" / "patientdx"


def _positive_integer(environ: Mapping[str, str], name: str) -> int:
    """A whole number above zero; 0 if the variable is not set."""
    value = environ.get(name, "")
    if not value:
        return 0
    if not value.isdigit() or int(value) < 1:
        raise InputError(f"{name} must be a whole number above zero, not `{value}`")
    return int(value)
