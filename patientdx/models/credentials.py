"""The API key of a model server, from a file or an environment variable.

Keys are no command-line argument, which other users could see in the list of processes. No message
quotes a key.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from patientdx.errors import UsageError

API_KEY_VARIABLE = "PATIENTDX_API_KEY"
_MOST_BYTES = 1 << 14
_HINT = "the file, or the variable, holds the key alone"
_KEY = re.compile(r"[!-~]+")  # what an HTTP header can carry: visible ASCII characters


def read_api_key(environ: Mapping[str, str], file: Path | None = None) -> str | None:
    """The key in `file`, else in `PATIENTDX_API_KEY`; None without either, or if that is empty.

    Surrounding white space is dropped. Raises UsageError for a file that cannot be read, and for a
    key that is empty or contains white space, control or non-ASCII characters.
    """
    if file is not None:
        return _check_key(_read_file(file), str(file))
    value = environ.get(API_KEY_VARIABLE)
    return _check_key(value, API_KEY_VARIABLE) if value else None


def _read_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{file}: the API key cannot be read: {reason}") from error
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{file}: too long for an API key", hint=_HINT)
    return content.decode("utf-8", "replace")


def _check_key(text: str, source: str) -> str:
    key = text.strip()
    if not key:
        raise UsageError(f"{source}: the API key is empty", hint=_HINT)
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{source}: an API key has no white space, control or non-ASCII characters", hint=_HINT
        )
    return key
