"""One file over HTTP, from a server on the loopback device that misbehaves when told to."""

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLCertVerificationError

import httpx2
import pytest

from patientdx.errors import FetchError
from patientdx.fetching import download as module
from patientdx.fetching.download import Expected, download, fetch_json

DATA = b"".join(b'{"_id": "%d-1", "text": "An invented note."}\n' % n for n in range(20_000))
SHA256 = Expected(len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
# `git hash-object` says so of a file of these bytes
HELLO, HELLO_GIT_SHA1 = b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.content = DATA
        self.ranges: list[str | None] = []  # one for each request
        self.names: set[str] = set()  # of the headers that came
        self.cuts: list[int] = []  # the next answers end after so many bytes
        self.statuses: list[int] = []  # the next answers are these
        self.headers: dict[str, str] = {}  # sent with a status
        self.ignores_range = False
        self.range_shift = 0


class Answers(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_args: object) -> None: ...

    def do_GET(self) -> None:
        bench = self.server
        requested_range = self.headers.get("Range")
        bench.ranges.append(requested_range)
        bench.names |= {name.lower() for name in self.headers}
        data, start = bench.content, int(re.findall(r"=(\d+)-", requested_range or "=0-")[0])
        if bench.statuses:
            self.reply(bench.statuses.pop(0), b"", bench.headers)
        elif start and start >= len(data):
            self.reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        elif requested_range is None or bench.ignores_range:
            self.reply(200, data, {})
        else:
            stated = f"bytes {start + bench.range_shift}-{len(data) - 1}/{len(data)}"
            self.reply(206, data[start:], {"Content-Range": stated})

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.server.cuts.pop(0) if body and self.server.cuts else len(body)
        self.wfile.write(body[:cut])  # and the connection is closed


@dataclass
class Bench:
    """A server and a folder to fetch from it into."""

    server: Server
    final: Path
    waits: list[float] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)

    @property
    def part(self) -> Path:
        return self.final.with_name("corpus.jsonl.part")

    def leave_part(self, content: bytes) -> None:
        self.part.parent.mkdir(parents=True)
        self.part.write_bytes(content)

    def fetch(
        self, expected: Expected = SHA256, on_bytes: Callable[[int], None] | None = None
    ) -> str:
        return download(
            f"{self.server.address}/corpus.jsonl",
            expected,
            self.final,
            on_bytes=on_bytes or self.progress.append,
            sleep=self.waits.append,
        )

    def assert_whole(self) -> None:
        assert self.final.read_bytes() == DATA
        assert [path.name for path in self.final.parent.iterdir()] == ["corpus.jsonl"]


def _running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


_server = pytest.fixture(_running, name="server")
_cdn = pytest.fixture(_running, name="cdn")


@pytest.fixture
def bench(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("no_proxy", "*")
    return Bench(server, tmp_path / "PPR" / "corpus.jsonl")


def test_a_whole_file(bench: Bench) -> None:
    assert bench.fetch() == SHA256.sha256
    bench.assert_whole()
    assert len(bench.progress) > 1
    assert bench.progress == sorted(bench.progress)
    assert bench.progress[-1] == len(DATA)
    assert bench.waits == []
    assert not {"authorization", "cookie"} & bench.server.names


def test_a_file_known_by_its_git_blob(bench: Bench) -> None:
    bench.server.content = HELLO
    digest = bench.fetch(Expected(len(HELLO), git_sha1=HELLO_GIT_SHA1))
    assert digest == hashlib.sha256(HELLO).hexdigest()


def test_an_empty_file(bench: Bench) -> None:
    bench.server.content = b""
    empty = hashlib.sha256(b"").hexdigest()
    assert bench.fetch(Expected(0, sha256=empty)) == empty
    assert bench.final.read_bytes() == b""


def test_a_cut_connection_is_resumed(bench: Bench) -> None:
    bench.server.cuts = [300_000, 0, 200_000]
    bench.fetch()
    bench.assert_whole()
    assert bench.server.ranges == [None, "bytes=300000-", "bytes=300000-", "bytes=500000-"]
    assert bench.waits == [1.0, 2.0, 4.0]


def test_a_broken_answer_is_asked_for_again(bench: Bench) -> None:
    bench.server.statuses = [200]
    bench.server.headers = {"Transfer-Encoding": "chunked"}  # and then no chunk comes
    bench.fetch()
    bench.assert_whole()
    assert bench.waits == [1.0]


def test_a_bad_certificate_is_not_asked_again() -> None:
    refusal = httpx2.ConnectError("self-signed")
    refusal.__cause__ = SSLCertVerificationError()
    problem = module._unreachable("https://hub.invalid/x", refusal)
    assert "certificate" in problem.message
    assert not isinstance(problem, module._RetryableError)


def test_a_later_call_goes_on_with_the_part(bench: Bench) -> None:
    bench.server.cuts = [100_000, 0, 0, 0, 0]
    with pytest.raises(FetchError, match="ended early") as caught:
        bench.fetch()
    assert caught.value.hint is not None
    assert "goes on" in caught.value.hint
    assert len(bench.waits) == 4
    assert bench.part.read_bytes() == DATA[:100_000]
    assert not bench.final.exists()
    bench.fetch()
    assert bench.server.ranges[-1] == "bytes=100000-"
    bench.assert_whole()


def test_an_interrupted_call_keeps_the_part(bench: Bench) -> None:
    def stop(_here: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.fetch(on_bytes=stop)
    here = bench.part.stat().st_size
    assert 0 < here < len(DATA)
    bench.fetch()
    assert bench.server.ranges == [None, f"bytes={here}-"]
    bench.assert_whole()


def test_a_server_that_ignores_ranges_starts_over(bench: Bench) -> None:
    bench.server.ignores_range = True
    bench.server.cuts = [300_000]
    bench.fetch()
    assert bench.server.ranges == [None, "bytes=300000-"]
    bench.assert_whole()


def test_an_answer_for_another_range_starts_over(bench: Bench) -> None:
    bench.leave_part(DATA[:1000])
    bench.server.range_shift = 7
    bench.fetch()
    assert bench.server.ranges == ["bytes=1000-", None]
    bench.assert_whole()


def test_a_complete_part_is_only_verified(bench: Bench) -> None:
    bench.leave_part(DATA)
    bench.fetch()
    assert bench.server.ranges == []
    bench.assert_whole()


def test_a_part_longer_than_the_file_is_fetched_anew(bench: Bench) -> None:
    bench.leave_part(DATA + b"!")
    bench.fetch()
    assert bench.server.ranges == [None]
    bench.assert_whole()


def test_a_range_beyond_what_the_server_has_starts_over(bench: Bench) -> None:
    bench.leave_part(DATA[:-1])
    bench.server.content = DATA[:10]  # 416, then a file that stays too short
    with pytest.raises(FetchError):
        bench.fetch()
    assert bench.server.ranges[:2] == [f"bytes={len(DATA) - 1}-", None]
    assert not bench.final.exists()


@pytest.mark.parametrize("served", [DATA.swapcase(), DATA + b"!"], ids=["other", "longer"])
@pytest.mark.parametrize("part", [b"", b"spoilt"], ids=["fresh", "resumed"])
def test_a_wrong_checksum_deletes_what_came(bench: Bench, served: bytes, part: bytes) -> None:
    bench.leave_part(part)
    bench.server.content = served
    with pytest.raises(FetchError, match="wrong checksum"):
        bench.fetch()
    assert list(bench.final.parent.iterdir()) == []


def test_an_endless_answer_is_not_taken_whole(bench: Bench) -> None:
    bench.server.content = DATA * 3
    with pytest.raises(FetchError, match="wrong checksum"):
        bench.fetch()
    assert bench.progress[-1] == len(DATA) + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_reported_at_once(bench: Bench, status: int) -> None:
    bench.server.statuses = [status]
    with pytest.raises(FetchError, match=str(status)):
        bench.fetch()
    assert bench.waits == []


@pytest.mark.parametrize(
    ("header", "waited"),
    [("3", 3.0), ("86400", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("-1", 1.0)],
)
def test_a_busy_server_says_how_long_to_wait(bench: Bench, header: str, waited: float) -> None:
    bench.server.statuses = [429]
    bench.server.headers = {"Retry-After": header}
    bench.fetch()
    bench.assert_whole()
    assert bench.waits == [waited]


def test_patience_ends(bench: Bench) -> None:
    bench.server.statuses = [503] * 10
    with pytest.raises(FetchError, match="503"):
        bench.fetch()
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert len(bench.server.ranges) == 5


def test_a_redirect_keeps_the_range(bench: Bench, cdn: Server) -> None:
    bench.server.statuses = [302, 307]
    bench.server.headers = {"Location": f"{cdn.address}/elsewhere?signed=1"}
    cdn.cuts = [1000]
    bench.fetch()
    bench.assert_whole()
    assert cdn.ranges == [None, "bytes=1000-"]
    assert not {"authorization", "cookie"} & cdn.names


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://a:b@c/"])
def test_other_redirects_are_not_followed(bench: Bench, target: str) -> None:
    bench.server.statuses = [302]
    bench.server.headers = {"Location": target}
    with pytest.raises(FetchError):
        bench.fetch()
    assert bench.waits == []


def test_https_is_not_left_for_http() -> None:
    source = "https://hub.invalid/x"
    assert module._redirect_target(source, "https://cdn.invalid/x") == "https://cdn.invalid/x"
    assert module._redirect_target(source, "/y") == "https://hub.invalid/y"
    with pytest.raises(FetchError, match="https to http"):
        module._redirect_target(source, "http://cdn.invalid/x")


def test_redirects_in_a_circle_end(bench: Bench) -> None:
    bench.server.statuses = [302] * 20
    bench.server.headers = {"Location": f"{bench.server.address}/again"}
    with pytest.raises(FetchError, match="answered 302"):
        bench.fetch()
    assert len(bench.server.ranges) == 11


def test_the_proxies_of_the_environment_are_used(
    bench: Bench, cdn: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", cdn.address)
    bench.fetch()
    bench.assert_whole()
    assert (bench.server.ranges, cdn.ranges) == ([], [None])


def test_json_that_is_cut_is_asked_for_again(bench: Bench) -> None:
    bench.server.content = b'["invented"]'
    bench.server.cuts = [5]
    assert fetch_json(bench.server.address, bench.waits.append) == (["invented"], None)
    assert bench.waits == [1.0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(bench: Bench) -> None:
    bench.part.parent.mkdir()
    bench.part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match="no room left") as caught:
        bench.fetch()
    assert caught.value.hint is not None
    assert "free some space" in caught.value.hint
    assert bench.part.is_symlink()
    assert bench.waits == []


def test_a_disk_too_small_is_reported_before_fetching(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.leave_part(DATA[:10])
    usage = shutil.disk_usage(bench.part)._replace(free=len(DATA) - 11)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(FetchError, match="no room left"):
        bench.fetch()
    assert bench.server.ranges == []
    assert bench.part.read_bytes() == DATA[:10]
