"""JSON over HTTP to a model server: bounded in time, size and retries.

No proxy is used and no redirect followed. The body of an error may quote the prompt, and therefore
never becomes part of a message.
"""

import json
import random
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from patientdx.errors import ModelError
from patientdx.http_client import (
    default_tls_context,
    is_certificate_error,
    is_retryable,
    parse_retry_after,
    root_cause,
)

from .address import ServerAddress
from .connection import Answer, AnswerTooLargeError, Connection
from .event_stream import is_event_stream, join_events
from .refusals import read_refusal

Sleep = Callable[[float], object]
"""Waits for a number of seconds; tests pass one that records them."""

_TOO_LONG = "a prompt is longer than the model's context: name the context by --context"
_REDIRECTED = "name the address that it redirects to: prompts and keys are not sent on"
_OF_ONE_PROMPT = frozenset({400, 413, 422})
_HINTS = {
    **dict.fromkeys((301, 302, 303, 307, 308), _REDIRECTED),
    401: "does it want an API key?",
    403: "may this API key use the model?",
    404: "is this the address, and the model's name?",
    429: "it has too many requests: try again later, or with a smaller --batch",
}
_T = TypeVar("_T")
_MOST_BYTES = 1 << 26
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_JITTER = 0.25  # waits are longer by up to this share, so that clients do not retry together


class UnansweredError(ModelError):
    """A request without a usable answer.

    `status` is that of the server, if it sent one, `wait_s` how many seconds the server asks to
    wait before another attempt. `exceeds_context` says that the prompt was too long, `context` for
    how many tokens, where the server reports it.
    """

    status: int | None = None
    retryable: bool = False
    wait_s: float | None = None
    exceeds_context: bool = False
    context: int | None = None


@dataclass
class JsonClient:
    """Sends requests to one server, from any number of threads, over connections kept open.

    `timeout_s` bounds a request as a whole, `attempts` the number of times it is sent. After a
    request that failed in all attempts the following ones are sent once, until one succeeds: a run
    against a server that is down does not wait for every query.
    """

    address: ServerAddress
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 300.0
    attempts: int = 4
    sleep: Sleep | None = None
    _is_down: bool = False
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _idle: list[Connection] = field(default_factory=list, repr=False)
    _busy: set[Connection] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, _close_all, self._idle)

    def request(
        self,
        path: str,
        body: object | None = None,
        parse: Callable[[Any], _T] | None = None,
    ) -> Any:
        """The JSON answer of an endpoint, through `parse`: POST with a body, else GET.

        An answer for which `parse` raises KeyError, IndexError, TypeError or ValueError counts as
        unusable. Raises UnansweredError when there is no usable answer after all attempts.
        """
        remaining = 1 if self._is_down else max(self.attempts, 1)
        wait_s = _FIRST_WAIT_S
        while True:
            remaining -= 1
            try:
                answer = self._attempt(path, body, parse)
            except UnansweredError as problem:
                if not problem.retryable or not remaining or self._stop.is_set():
                    self._is_down = self._is_down or problem.retryable
                    raise
                self._wait(min(problem.wait_s or wait_s, _LONGEST_WAIT_S))
                wait_s *= 2
            else:
                self._is_down = False
                return answer

    def abort(self) -> None:
        """Ends all requests under way, from another thread; until `resume` none is retried."""
        self._stop.set()
        with self._lock:
            for connection in self._busy:
                connection.cancel()

    def resume(self) -> None:
        """Allows requests again after `abort`."""
        self._stop.clear()

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            _close_all(self._idle)

    def _wait(self, seconds: float) -> None:
        if self.sleep is not None:
            self.sleep(seconds)
        else:
            self._stop.wait(seconds * random.uniform(1.0, 1.0 + _JITTER))

    def _attempt(self, path: str, body: object | None, parse: Callable[[Any], _T] | None) -> Any:
        import httpx2

        try:
            answer = self._send(path, body)
        except TimeoutError:
            raise _unanswered(f"{self.address} did not answer in time", retryable=True) from None
        except (OSError, httpx2.HTTPError, AnswerTooLargeError) as problem:
            name = type(root_cause(problem)).__name__
            raise _unanswered(
                f"{self.address} cannot be reached ({name})",
                retryable=not is_certificate_error(problem),
                hint="is the server running there?",
            ) from None
        if answer.status != 200:
            raise _refused(self.address, answer)
        return self._parse(answer.body, parse)

    def _send(self, path: str, body: object | None) -> Answer:
        import httpx2

        method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        with self._connection() as connection:
            for _ in range(2):
                if self._stop.is_set():
                    raise ConnectionAbortedError
                try:
                    return connection.send(method, f"{self.address}{path}", content, _MOST_BYTES)
                except httpx2.TransportError:
                    # The server may close a connection while it is idle: that is no failure yet.
                    if not connection.reused:
                        raise
            raise ConnectionResetError

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """An idle connection or a new one; kept afterwards unless the request failed."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._open_connection()
        with self._lock:
            self._busy.add(connection)
        intact = False
        try:
            yield connection
            intact = True
        finally:
            with self._lock:
                self._busy.discard(connection)
                if intact:
                    self._idle.append(connection)
            if not intact:
                connection.close()

    def _open_connection(self) -> Connection:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        # Without https the context is not used: an empty one saves reading the certificates.
        is_https = self.address.scheme == "https"
        tls = default_tls_context() if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return Connection(headers, self.timeout_s, tls)

    def _parse(self, body: bytes, parse: Callable[[Any], _T] | None) -> Any:
        try:
            answer = join_events(body) if is_event_stream(body) else json.loads(body)
            return parse(answer) if parse else answer
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            # `from None`: the chain would show the answer, which may quote the prompt.
            raise _unanswered(
                f"{self.address} answered with something that cannot be understood",
                retryable=True,
                hint="is it an OpenAI-compatible server?",
            ) from None


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _unanswered(
    message: str, *, retryable: bool, hint: str | None = None, status: int | None = None
) -> UnansweredError:
    error = UnansweredError(message, hint=hint)
    error.retryable = retryable
    error.status = status
    return error


def _refused(address: ServerAddress, answer: Answer) -> UnansweredError:
    refusal = read_refusal(answer.status, answer.body)
    error = _unanswered(
        f"{address} answered {answer.status}",
        retryable=is_retryable(answer.status) and not refusal.exceeds_context,
        hint=_TOO_LONG if refusal.exceeds_context else _HINTS.get(answer.status),
        status=answer.status,
    )
    error.wait_s = parse_retry_after(answer.retry_after, _LONGEST_WAIT_S)
    error.exceeds_context, error.context = refusal
    error.concerns_prompt = refusal.exceeds_context or answer.status in _OF_ONE_PROMPT
    return error
