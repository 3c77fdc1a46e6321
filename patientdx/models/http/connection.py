"""One connection to a model server: kept open between requests, with a deadline for each.

The timeouts of an HTTP client bound single reads, so that a server that sends a byte now and then
would never time out. Here a timer closes the socket when the whole answer is late; closing it also
lets another thread cancel a request under way.
"""

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from patientdx.http_client import open_client

if TYPE_CHECKING:
    import ssl

    import httpx2

_CONNECT_S = 10.0


class Answer(NamedTuple):
    """Status, Retry-After header and body of a response."""

    status: int
    retry_after: str
    body: bytes


class AnswerTooLargeError(Exception):
    """A response with more bytes than allowed."""


class Connection:
    """Sends one request at a time; reconnects when the server has closed the connection."""

    def __init__(self, headers: Mapping[str, str], timeout_s: float, tls: "ssl.SSLContext") -> None:
        self._timeout_s = timeout_s
        self._client = open_client(headers, use_proxies=False, timeout_s=timeout_s, tls=tls)
        self._socket: socket.socket | None = None
        self._cancelled = False
        self.reused = False
        """Whether the last request went over a connection opened for an earlier one."""

    def send(self, method: str, url: str, body: bytes | None, most_bytes: int) -> Answer:
        """The answer to a request.

        Raises TimeoutError when it is not complete in time, AnswerTooLargeError, and the errors of
        httpx2 and OSError for what fails below.
        """
        import httpx2

        late = threading.Event()
        timer = threading.Timer(self._timeout_s, self._expire, [late])
        timer.daemon = True
        self.reused = True  # until the client reports a new connection
        timer.start()
        try:
            return self._exchange(method, url, body, most_bytes, late)
        except httpx2.TimeoutException:
            raise TimeoutError from None
        except (httpx2.HTTPError, OSError):
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """Ends the request under way, and every later one, with an error."""
        self._cancelled = True
        self._shut_down()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _exchange(
        self, method: str, url: str, body: bytes | None, most_bytes: int, late: threading.Event
    ) -> Answer:
        import httpx2

        ends = time.monotonic() + self._timeout_s

        def on_event(event: str, info: Mapping[str, Any]) -> None:
            if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
                self.reused = False
                self._socket = info["return_value"].get_extra_info("socket")
                if self._cancelled or late.is_set():
                    self._shut_down()

        with self._client.stream(
            method,
            url,
            content=body,
            timeout=httpx2.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s)),
            extensions={"trace": on_event},
        ) as response:
            retry_after = response.headers.get("Retry-After", "")
            return Answer(response.status_code, retry_after, _read(response, most_bytes, ends))

    def _expire(self, late: threading.Event) -> None:
        late.set()
        self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _read(response: "httpx2.Response", most_bytes: int, ends: float) -> bytes:
    """The body, as long as time and size allow."""
    chunks, size = [], 0
    for chunk in response.iter_raw():
        chunks.append(chunk)
        size += len(chunk)
        if time.monotonic() > ends:
            raise TimeoutError
        if size > most_bytes:
            raise AnswerTooLargeError
    return b"".join(chunks)
