"""A server on the loopback device that says what it is told, for the injection of faults."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from patientdx.models.settings import ModelSettings

SECRET = "Zaphodine"  # stands in every prompt, and in what the server says about failures
CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


@dataclass
class Answer:
    """An HTTP answer; `body` is JSON unless it is bytes. It comes after `wait_s` seconds."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0


def reply(text: object) -> Answer:
    """A chat completion."""
    return Answer({"choices": [{"message": {"content": text}}]})


def failure(status: int, **headers: str) -> Answer:
    """An error that quotes the prompt."""
    return Answer({"error": {"message": f"cannot do {SECRET}", "type": "x"}}, status, headers)


class Script:
    """What the server answers to each path (a function of the body), and what it was asked."""

    def __init__(self, chat: Callable[[Any], Answer] | None = None, **model: Any) -> None:
        self.models: list[dict[str, Any]] = [{"id": "tiny", "object": "model", **model}]
        self.paths: dict[str, Callable[[Any], Answer]] = {
            "/v1/models": lambda _: Answer({"object": "list", "data": self.models})
        }
        if chat:
            self.paths[CHAT] = chat
        self.asked: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def bodies(self, path: str = CHAT) -> list[Any]:
        """What a path was asked, in order."""
        return [body for one, body in self.asked if one == path]


def in_turn(*answers: Answer) -> Callable[[Any], Answer]:
    """Answers one after the other; the last is repeated."""
    left = list(answers)
    lock = threading.Lock()

    def answer(_body: Any) -> Answer:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address of a server that follows a script."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None: ...

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, body: Any) -> None:
            script.asked.append((self.path, body))
            script.headers.append(dict(self.headers))
            known = script.paths.get(self.path, lambda _: Answer(b"", 404))
            told = known(body)
            time.sleep(told.wait_s)
            data = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            try:
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                for at in range(0, len(data), 8 if told.drip_s else len(data)):
                    self.wfile.write(data[at : at + 8] if told.drip_s else data)
                    self.wfile.flush()
                    time.sleep(told.drip_s)
            except OSError:  # the client has given up
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_args: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FAST = ModelSettings(timeout_s=5.0, batch=1)
