"""A scripted HTTP server on the loopback device, for the injection of faults."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from patientdx.models.http.server_abilities import QUESTION
from patientdx.models.settings import ModelSettings

SECRET = "Zaphodine"  # part of every prompt, and of the server's error messages
CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


@dataclass
class Answer:
    """An HTTP answer after `wait_s` seconds; `body` is JSON unless it is bytes.

    `drip_s` is the pause after every 8 bytes of the body, `header_drip_s` that between header
    lines. `hangs_up` closes a connection that was to be kept open, without saying so.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    header_drip_s: float = 0.0
    hangs_up: bool = False


def reply(text: object) -> Answer:
    """A chat completion."""
    return Answer({"choices": [{"message": {"content": text}}]})


def failure(status: int, **headers: str) -> Answer:
    """An error that quotes the prompt."""
    return Answer({"error": {"message": f"cannot do {SECRET}", "type": "x"}}, status, headers)


class Script:
    """The answer of each path, as a function of the body, and a record of the requests.

    `probe` answers the question with which a client finds out whether the server takes chats, and
    `probes` records it apart.
    """

    def __init__(self, chat: Callable[[Any], Answer] | None = None, **model: Any) -> None:
        self.models: list[dict[str, Any]] = [{"id": "tiny", "object": "model", **model}]
        self.paths: dict[str, Callable[[Any], Answer]] = {
            "/v1/models": lambda _: Answer({"object": "list", "data": self.models})
        }
        if chat:
            self.paths[CHAT] = chat
        self.probes: list[Any] = []
        self.probe: Callable[[Any], Answer] = lambda _: reply("Hello!")
        self.keeps_connections = False
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.clients: list[tuple[str, int]] = []

    def bodies(self, path: str = CHAT) -> list[Any]:
        """Bodies of the requests for a path, in order."""
        return [body for requested, body in self.requests if requested == path]


def in_turn(*answers: Answer) -> Callable[[Any], Answer]:
    """Answers one after the other; the last is repeated."""
    remaining = list(answers)
    lock = threading.Lock()

    def answer(_body: Any) -> Answer:
        with lock:
            return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return answer


class _Handler(BaseHTTPRequestHandler):
    script: Script

    def log_message(self, *_args: object) -> None: ...

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: Any) -> None:
        if self.path == CHAT and body["messages"] == [{"role": "user", "content": QUESTION}]:
            self.script.probes.append(body)
            answer = self.script.probe(body)
        else:
            self.script.requests.append((self.path, body))
            self.script.headers.append(dict(self.headers))
            self.script.clients.append(self.client_address)
            answer = self.script.paths.get(self.path, lambda _: Answer(b"", 404))(body)
        time.sleep(answer.wait_s)
        try:
            self.send(answer)
        except OSError:  # the client has given up
            self.close_connection = True

    def send(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(data))}.items():
            self.send_header(name.replace("_", "-"), value)
            if answer.header_drip_s:
                self.flush_headers()
                time.sleep(answer.header_drip_s)
        self.end_headers()
        size = 8 if answer.drip_s else max(len(data), 1)
        for at in range(0, len(data), size):
            self.wfile.write(data[at : at + size])
            self.wfile.flush()
            time.sleep(answer.drip_s)
        self.close_connection = self.close_connection or answer.hangs_up


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_args: object) -> None: ...


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address of a server that follows a script."""
    protocol = "HTTP/1.1" if script.keeps_connections else "HTTP/1.0"
    handler = type("Handler", (_Handler,), {"script": script, "protocol_version": protocol})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FAST = ModelSettings(timeout_s=5.0, batch=1)
