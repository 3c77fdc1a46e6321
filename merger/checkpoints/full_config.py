"""Configurations as transformers completes them, where it is installed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_full_config(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration with the defaults of its class; `config` is the file's.

    Lists with an entry per layer are often only computed on loading. Without transformers, and for
    a class that it does not know or whose checks fail, the file is all there is.
    """
    try:
        from transformers import AutoConfig
    except ImportError:
        return config
    try:
        options = {"local_files_only": True, "trust_remote_code": False}
        return dict(AutoConfig.from_pretrained(str(folder), **options).to_dict())
    except configuration_errors():
        return config


def configuration_errors() -> tuple[type[Exception], ...]:
    """The errors that transformers' configurations raise for values that do not go together."""
    from huggingface_hub.errors import StrictDataclassError

    plain = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError)
    return (*plain, AssertionError, ImportError, StrictDataclassError)
