"""JSON over HTTP to a model's server: loopback unless allowed, bounded in time, size and retries.

Only `http.client`: no proxy is used, no redirect is followed. What a server says about a
failure may quote the prompt, and so never gets into a message.
"""

import ipaddress
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

from patientdx.errors import ModelError

Sleep = Callable[[float], object]
"""Waits so many seconds; tests hand in one that only remembers."""

_T = TypeVar("_T")
_MOST_BYTES = 1 << 26
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_CONNECT_S = 10.0


class UnansweredError(ModelError):
    """A request without a usable answer; `status` is the server's, where it gave one."""

    status: int | None = None
    kind: str = ""
    again: bool = False
    wait: float | None = None


@dataclass(frozen=True)
class Address:
    """Where a server listens: `path` is what stands before each endpoint, without a last slash."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, url: str, *, allow_remote: bool) -> "Address":
        """An address. Raises ModelError for a bad one, or for another machine's unless allowed."""
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
        """Whether it is another machine's."""
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


@dataclass
class Wire:
    """Asks one server; safe to use from several threads.

    `timeout_s` bounds a request as a whole, `attempts` how often one is made. After a request
    that failed in all its attempts the next ones are made once, until one succeeds: a run over
    a server that is down does not wait for every query.
    """

    address: Address
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 300.0
    attempts: int = 4
    sleep: Sleep | None = None
    _down: bool = False
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _open: set[HTTPConnection] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ask(
        self,
        path: str,
        body: object | None = None,
        read: Callable[[Any], _T] | None = None,
    ) -> Any:
        """The JSON that a path answers to, or what `read` makes of it: POST with a body, else GET.

        Where `read` raises KeyError, IndexError, TypeError or ValueError the answer counts as
        garbage. Raises UnansweredError when there is no usable answer after all attempts.
        """
        left = 1 if self._down else max(self.attempts, 1)
        wait = _FIRST_WAIT_S
        while True:
            left -= 1
            try:
                answer = self._once(path, body, read)
            except UnansweredError as problem:
                if not problem.again or not left or self._stop.is_set():
                    self._down = self._down or problem.again
                    raise
                (self.sleep or self._stop.wait)(min(problem.wait or wait, _LONGEST_WAIT_S))
                wait *= 2
            else:
                self._down = False
                return answer

    def abort(self) -> None:
        """Ends the requests under way, from another thread; until `resume` none is tried again."""
        self._stop.set()
        with self._lock:
            for connection in self._open:
                with suppress(OSError, AttributeError):
                    connection.sock.shutdown(2)

    def resume(self) -> None:
        """Takes back `abort`."""
        self._stop.clear()

    def _once(self, path: str, body: object | None, read: Callable[[Any], _T] | None) -> Any:
        ends = time.monotonic() + self.timeout_s
        connection = self._connection()
        with self._lock:
            self._open.add(connection)
        try:
            status, headers, payload = self._exchange(connection, path, body, ends)
        except TimeoutError:
            raise _unanswered(f"{self.address} did not answer in time", again=True) from None
        except (OSError, HTTPException) as problem:
            name = type(problem).__name__
            raise _unanswered(
                f"{self.address} cannot be reached ({name})",
                again=not isinstance(problem, ssl.SSLCertVerificationError),
                hint="is the server running there?",
            ) from None
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()
        if status != 200:
            raise _refused(self.address, status, headers.get("Retry-After", ""), payload)
        return self._read(payload, read)

    def _exchange(
        self, connection: HTTPConnection, path: str, body: object | None, ends: float
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of the answer."""
        headers = {"User-Agent": "patientdx", "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        connection.connect()
        if self._stop.is_set():
            raise ConnectionAbortedError
        connection.sock.settimeout(self.timeout_s)
        if body is None:
            connection.request("GET", self.address.path + path, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", self.address.path + path, json.dumps(body), headers)
        with connection.getresponse() as response:  # it holds the socket until it is closed
            return response.status, response.headers, _whole(response, connection, ends)

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self.address.scheme == "https" else HTTPConnection
        return kind(self.address.host, self.address.port, timeout=min(_CONNECT_S, self.timeout_s))

    def _read(self, payload: bytes, read: Callable[[Any], _T] | None) -> Any:
        try:
            answer = json.loads(payload)
            return read(answer) if read else answer
        except (ValueError, RecursionError, KeyError, IndexError, TypeError):
            # `from None`: the chain would show the answer, which may quote the prompt.
            raise _unanswered(
                f"{self.address} answered with something that cannot be understood",
                again=True,
                hint="is it an OpenAI-compatible server?",
            ) from None


def _whole(response: HTTPResponse, connection: HTTPConnection, ends: float) -> bytes:
    """The body, as long as time and size allow."""
    chunks, size = [], 0
    while chunk := response.read1(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if size > _MOST_BYTES:
            raise HTTPException
        if connection.sock is not None:
            connection.sock.settimeout(left)
    return b"".join(chunks)


def _unanswered(
    message: str, *, again: bool, hint: str | None = None, status: int | None = None
) -> UnansweredError:
    error = UnansweredError(message, hint=hint)
    error.again = again
    error.status = status
    return error


def _refused(address: Address, status: int, retry_after: str, payload: bytes) -> UnansweredError:
    hint = {401: "does it want an API key?", 404: "is this the address, and the model's name?"}
    error = _unanswered(
        f"{address} answered {status}",
        again=status in {408, 409, 429} or status >= 500,
        hint=hint.get(status),
        status=status,
    )
    error.wait = float(retry_after) if retry_after.isdecimal() else None
    error.kind = _kind(payload)
    return error


def _kind(payload: bytes) -> str:
    """The machine-readable kind of an error, where the server tells one."""
    with suppress(ValueError, RecursionError, AttributeError, TypeError):
        about = json.loads(payload).get("error")
        kind = about.get("type") or ""
        if re.fullmatch(r"\w{1,60}", kind):
            return str(kind)
    return ""
