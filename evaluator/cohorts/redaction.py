"""Ids replaced by keyed hashes, so that a cohort can be shared without those of the source."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from patientdx.errors import InputError

LEAST_KEY = 16
_LENGTH = 32  # hexadecimal digits: 128 bits


@dataclass(frozen=True, repr=False)
class Redaction:
    """Replaces ids by the first 128 bits of HMAC-SHA-256; `kept` says whether a file has the key.

    Stays and subjects are hashed apart, so that equal numbers do not show as equal.
    """

    key: bytes
    kept: bool

    def hashed(self, kind: str, value: str) -> str:
        """The hash of an id of a kind."""
        return hmac.new(self.key, f"{kind}\0{value}".encode(), sha256).hexdigest()[:_LENGTH]


def redaction(key_file: Path | None) -> Redaction:
    """With the key of a file, or with a new one that is stored nowhere. Raises InputError."""
    if key_file is None:
        return Redaction(secrets.token_bytes(32), kept=False)
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{key_file}: cannot be read: {error.strerror}") from None
    if len(key) < LEAST_KEY:
        raise InputError(
            f"{key_file}: a key of fewer than {LEAST_KEY} bytes",
            hint=f"make one with: head -c 32 /dev/urandom | base64 > {key_file}",
        )
    return Redaction(key, kept=True)


def shown(kind: str, chosen: Redaction | None) -> Callable[[object], str]:
    """How ids of a kind are written: as they are, or hashed."""
    if chosen is None:
        return str
    return lambda value: chosen.hashed(kind, str(value))
