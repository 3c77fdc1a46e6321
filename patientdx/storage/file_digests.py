"""Digests of model files, together with whatever else changes the answers of a model.

Large files are hashed once; the digest is cached by path, size and modification time.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from patientdx.errors import ModelError, PatientDxError

from .atomic import atomic_writer

Progress = Callable[[int], None]
"""Called with the number of bytes read so far."""

_CHUNK = 1 << 22
_MEMO = "digests.json"


def digest_files(files: Iterable[Path], cache: Path | None, **matters: object) -> str:
    """The SHA-256, in hex, of the names and contents of files and of other values that matter.

    `cache` is the folder for the digests of large files. Raises ModelError for a file that cannot
    be read.
    """
    memo = _read_memo(cache)
    before = dict(memo)
    lines = [f"{path.name} {_cached_hash(path, memo)}" for path in sorted(files)]
    lines += [f"{key}={matters[key]!r}" for key in sorted(matters)]
    if cache is not None and memo != before:
        _write_memo(cache, memo)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_file(path: Path, on_bytes: Progress = lambda _: None) -> str:
    """The SHA-256 of a file's content, in hex."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return digest.hexdigest()


def _cached_hash(path: Path, memo: dict[str, str]) -> str:
    try:
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in memo:
            memo[key] = hash_file(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{path}: cannot be read: {reason}") from error
    return memo[key]


def _read_memo(cache: Path | None) -> dict[str, str]:
    """The cached digests by key; none if the memo is missing or unreadable."""
    if cache is None:
        return {}
    with suppress(OSError, ValueError):
        memo = json.loads((cache / _MEMO).read_text(encoding="utf-8"))
        if isinstance(memo, dict):
            return {str(key): value for key, value in memo.items() if isinstance(value, str)}
    return {}


def _write_memo(cache: Path, memo: dict[str, str]) -> None:
    with suppress(OSError, PatientDxError):  # the memo only saves time
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_writer(cache / _MEMO) as stream:
            json.dump(memo, stream, indent=0)
