"""Ids replaced by keyed hashes, so that a cohort can be shared without those of the source."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from patientdx.errors import InputError

MIN_KEY_BYTES = 16
_HASH_DIGITS = 32  # hexadecimal: 128 bits


@dataclass(frozen=True, repr=False)
class IdRedactor:
    """Replaces ids by the first 128 bits of HMAC-SHA-256.

    `key_is_stored` is true where the key came from a file. Stays and subjects are hashed
    separately, so that equal numbers do not show as equal.
    """

    key: bytes
    key_is_stored: bool

    def hash_id(self, kind: str, value: str) -> str:
        """The hash of an id; `kind` is "stay" or "subject"."""
        message = f"{kind}\0{value}".encode()
        return hmac.new(self.key, message, sha256).hexdigest()[:_HASH_DIGITS]


def make_redactor(key_file: Path | None) -> IdRedactor:
    """A redactor with the key of a file, or with a new key that is stored nowhere.

    Raises InputError for a file that cannot be read and for a short key.
    """
    if key_file is None:
        return IdRedactor(secrets.token_bytes(32), key_is_stored=False)
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{key_file}: cannot be read: {error.strerror}") from None
    if len(key) < MIN_KEY_BYTES:
        raise InputError(
            f"{key_file}: a key of fewer than {MIN_KEY_BYTES} bytes",
            hint=f"make one with: head -c 32 /dev/urandom | base64 > {key_file}",
        )
    return IdRedactor(key, key_is_stored=True)


def id_formatter(kind: str, redactor: IdRedactor | None) -> Callable[[object], str]:
    """A function that writes ids of a kind: hashed by the redactor, or as they are without one."""
    if redactor is None:
        return str
    return lambda value: redactor.hash_id(kind, str(value))
