"""Digests of models: which weights answer, and whatever else changes the answers.

Big files are hashed once; their digest is remembered by path, size and time of change.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from patientdx.errors import ModelError, PatientDxError

from .atomic import atomic_writer

Progress = Callable[[int], None]
"""Told how many bytes have been read."""

_CHUNK = 1 << 22
_MEMO = "digests.json"


def digest_of(files: Iterable[Path], cache: Path | None, **matters: object) -> str:
    """The sha256 over names and contents of files and whatever else matters, as hex digits.

    Raises ModelError for a file that cannot be read.
    """
    memo = _read(cache)
    before = dict(memo)
    lines = [f"{path.name} {_hashed(path, memo)}" for path in sorted(files)]
    lines += [f"{key}={matters[key]!r}" for key in sorted(matters)]
    if cache is not None and memo != before:
        _write(cache, memo)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def sha256_of(path: Path, on_bytes: Progress = lambda _: None) -> str:
    """The sha256 of a file's content."""
    found, done = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return found.hexdigest()


def _hashed(path: Path, memo: dict[str, str]) -> str:
    try:
        about = path.stat()
        key = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}"
        if key not in memo:
            memo[key] = sha256_of(path)
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise ModelError(f"{path}: cannot be read: {said}") from error
    return memo[key]


def _read(cache: Path | None) -> dict[str, str]:
    """What is remembered; a memo that cannot be read is no memo."""
    if cache is None:
        return {}
    with suppress(OSError, ValueError):
        found = json.loads((cache / _MEMO).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items() if isinstance(value, str)}
    return {}


def _write(cache: Path, memo: dict[str, str]) -> None:
    with suppress(OSError, PatientDxError):  # it saves time, no more
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_writer(cache / _MEMO) as stream:
            json.dump(memo, stream, indent=0)
