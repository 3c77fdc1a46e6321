"""A hub on the loopback device that offers the shipped sample as ReCDS, and a model of no use."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from patientdx.fetching.hub import DATASETS
from patientdx.sample import sample_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = DATASETS["recds"].repo
CORPUS = (sample_folder() / "corpus.jsonl").read_bytes()
FILES = {
    "PPR/corpus.jsonl": CORPUS,
    **{
        f"queries/{split}_queries.jsonl": (sample_folder() / "queries.jsonl").read_bytes()
        for split in ("train", "dev", "test")
    },
    **{
        f"PPR/qrels_{split}.tsv": (sample_folder() / "qrels" / "test.tsv").read_bytes()
        for split in ("train", "dev", "test")
    },
}
MODEL = "owner/tiny-model"
MODEL_FILES = {
    "config.json": b"{}",
    "model.safetensors": b"not weights",
    "pytorch_model.bin": b"pickled",
    "modeling_tiny.py": b"import os",
    "tokenizer.json": b"{}",
}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *_args: object) -> None: ...

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for kind, repo, files in (("datasets/", REPO, FILES), ("", MODEL, MODEL_FILES)):
            api = f"/api/{kind or 'models/'}{repo}"
            if path == f"{api}/revision/main":
                return self.reply(json.dumps({"sha": COMMIT}).encode())
            if path == f"{api}/tree/{COMMIT}":
                listed = [self.entry(name, data) for name, data in files.items()]
                return self.reply(json.dumps(listed).encode())
            root = f"/{kind}{repo}/resolve/{COMMIT}/"
            if path.startswith(root):
                return self.reply(files.get(path.removeprefix(root), b""))
        return self.reply(b"")

    @staticmethod
    def entry(name: str, data: bytes) -> dict[str, object]:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return {"type": "file", "path": name, "size": len(data), "oid": blob}

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[str]:
    """The address of a hub that has the shipped sample in the shape of ReCDS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
