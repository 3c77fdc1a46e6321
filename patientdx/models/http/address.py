"""The address of a model server, and whether prompts would leave this machine."""

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from patientdx.errors import ModelError


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens; `path` is the prefix of its endpoints, without a trailing slash."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, url: str, *, allow_remote: bool) -> "ServerAddress":
        """Parses an address. Raises ModelError for a bad one, or a remote one unless allowed."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if parts.scheme not in {"http", "https"} or not host:
            raise ModelError("a server is named by an address like http://127.0.0.1:8000")
        if "@" in parts.netloc:
            raise ModelError("an address with a name or password is not used")
        if not allow_remote and not _is_loopback(host):
            raise ModelError(
                f"{host} is another machine: prompts, and so patient text, would leave this one",
                hint="only when that is allowed: --allow-remote",
            )
        return cls(parts.scheme, host, port, parts.path.rstrip("/"))

    @property
    def is_remote(self) -> bool:
        """Whether it is on another machine."""
        return not _is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
