"""Datasets, from a hub of our own on the loopback device that holds invented data."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patientdx.errors import FetchError, InputError
from patientdx.fetching import hub as module
from patientdx.fetching.hub import DATASETS, FetchReport, fetch_dataset

Fetch = Callable[..., FetchReport]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BIG = "PPR/corpus.jsonl"
SPLITS = ("train", "dev", "test")
WANTED = {
    BIG: b'{"_id": "1-1", "title": "", "text": "An invented note."}\n' * 10_000,
    **{f"queries/{s}_queries.jsonl": b'{"_id": "q", "text": "invented"}\n' for s in SPLITS},
    **{f"PPR/qrels_{s}.tsv": f"query-id\tcorpus-id\tscore\n{s}\n".encode() for s in SPLITS},
}
OLD_SPELLING = {
    BIG: "PPR/PPR_corpus.jsonl",
    **{f"PPR/qrels_{s}.tsv": f"PPR/PPR_{s}_qrels.tsv" for s in SPLITS},
}


class FakeHub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repo = DATASETS["recds"].repo
        self.listed = {**WANTED, "README.md": b"# invented\n"}
        self.served = dict(self.listed)  # what is sent, where it differs from what is listed
        self.seen: list[tuple[str, str]] = []  # path and headers of every request
        self.statuses: list[int] = []  # the next answers are these
        self.cuts: list[int] = []  # the next files end after so many bytes
        self.revision_json: bytes | None = None
        self.tree_json: bytes | None = None
        self.redirect_to: str | None = None
        self.page = 3  # entries of a page of the listing

    def requests_for(self, part: str) -> list[str]:
        return [path for path, _ in self.seen if part in path]

    def entries(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = [{"type": "directory", "path": "PPR", "oid": "0" * 40}]
        for path, data in self.listed.items():
            entry: dict[str, object] = {"type": "file", "path": path, "size": len(data)}
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path == BIG:  # git holds a pointer only
                lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
                found.append({**entry, "oid": "f" * 40, "lfs": lfs})
            else:
                found.append({**entry, "oid": blob})
        return found


class Answers(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_args: object) -> None: ...

    def do_GET(self) -> None:
        hub = self.server
        hub.seen.append((self.path, str(self.headers)))
        api, files = f"/api/datasets/{hub.repo}", f"/datasets/{hub.repo}/resolve/{COMMIT}/"
        file = self.path.removeprefix(files)
        if hub.statuses:
            self.reply(hub.statuses.pop(0), b"busy")
        elif self.path in {f"{api}/revision/main", f"{api}/revision/refs%2Fpr%2F1"}:
            about = {"sha": COMMIT, "siblings": [{"rfilename": path} for path in hub.listed]}
            self.reply(200, hub.revision_json or json.dumps(about).encode())
        elif self.path.startswith(f"{api}/tree/{COMMIT}?recursive=true"):
            self.tree()
        elif file != self.path and hub.redirect_to:
            self.reply(302, b"", {"Location": f"{hub.redirect_to}{self.path}"})
        elif file in hub.served:
            self.file(hub.served[file])
        else:
            self.reply(404, b"no such thing")

    def tree(self) -> None:
        start = int((re.findall(r"cursor=(\d+)", self.path) or ["0"])[0])
        entries, end = self.server.entries(), start + self.server.page
        path = self.path.partition("&")[0]
        link = {"Link": f'<{self.server.address}{path}&cursor={end}>; rel="next"'}
        page = self.server.tree_json or json.dumps(entries[start:end]).encode()
        self.reply(200, page, link if end < len(entries) else {})

    def file(self, data: bytes) -> None:
        start = int(re.findall(r"=(\d+)-", self.headers.get("Range", "=0-"))[0])
        stated = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.reply(206 if start else 200, data[start:], stated, self.server.cuts)

    def reply(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cuts: list[int] | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: cuts.pop(0) if cuts else None])  # and the connection is closed


def _running() -> Iterator[FakeHub]:
    server = FakeHub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


_server = pytest.fixture(_running, name="server")
_cdn = pytest.fixture(_running, name="cdn")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def fetch(
    server: FakeHub, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Fetch:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_sent")

    def call(name: str = "recds", **overrides: Any) -> FetchReport:
        options = {"hub": server.address, "allowed": True, "sleep": waits.append, **overrides}
        return fetch_dataset(name, folder, **options)

    return call


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of the folder but SOURCE.json."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    found.pop("SOURCE.json", None)
    return {name: path.read_bytes() for name, path in found.items()}


def test_a_whole_fetch(fetch: Fetch, server: FakeHub, folder: Path, waits: list[float]) -> None:
    progress: list[tuple[str, int, int]] = []
    report = fetch(on_progress=lambda *step: progress.append(step))
    assert _files(folder) == WANTED
    assert (report.dataset, report.repo, report.revision) == ("recds", server.repo, COMMIT)
    assert [(f.path, f.size, f.sha256, f.fetched) for f in report.files] == [
        (path, len(data), hashlib.sha256(data).hexdigest(), True)
        for path, data in ((f.path, WANTED[f.path]) for f in report.files)
    ]
    sizes = {path: len(data) for path, data in WANTED.items()}
    assert {path: size for path, here, size in progress if here == size} == sizes
    assert waits == []


def test_the_source_is_reported(fetch: Fetch, server: FakeHub, folder: Path) -> None:
    fetch()
    source = json.loads((folder / "SOURCE.json").read_text("utf-8"))
    assert {f["path"]: (f["size"], f["sha256"]) for f in source.pop("files")} == {
        path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in WANTED.items()
    }
    assert source == {
        "dataset": "recds",
        "hub": server.address,
        "repo": "zhengyun21/PMC-Patients-ReCDS",
        "revision": COMMIT,
        "licence": "CC BY-NC-SA 4.0",
    }


def test_nothing_is_asked_unless_allowed(fetch: Fetch, server: FakeHub, folder: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(allowed=False)
    assert caught.value.hint is not None
    assert "--allow-fetch" in caught.value.hint
    assert "PATIENTDX_ALLOW_FETCH=1" in caught.value.hint
    assert server.seen == []
    assert not folder.exists()


def test_an_unknown_name_lists_the_known_ones(fetch: Fetch, server: FakeHub) -> None:
    with pytest.raises(InputError) as caught:
        fetch("nothing")
    assert caught.value.hint == "choose of: pmc-patients, recds"
    assert server.seen == []


def test_the_older_spelling_is_found_too(fetch: Fetch, server: FakeHub, folder: Path) -> None:
    older = {OLD_SPELLING.get(path, path): data for path, data in WANTED.items()}
    server.listed = server.served = older
    fetch()
    assert _files(folder) == older


@pytest.mark.parametrize("name", ["PMC-Patients.csv", "PMC-Patients.json"])
def test_the_patients_come_as_csv_or_json(
    fetch: Fetch, server: FakeHub, folder: Path, name: str
) -> None:
    server.repo = DATASETS["pmc-patients"].repo
    server.listed = server.served = {name: b"invented", "PMC-Patients-V2.json": b"another set"}
    fetch("pmc-patients")
    assert _files(folder) == {name: b"invented"}


def test_a_missing_file_is_reported_before_anything_is_fetched(
    fetch: Fetch, server: FakeHub
) -> None:
    del server.listed["PPR/qrels_dev.tsv"]
    with pytest.raises(FetchError, match=r"qrels_dev\.tsv or .*PPR_dev_qrels\.tsv"):
        fetch()
    assert server.requests_for("/resolve/") == []


def test_another_revision_is_asked_for_by_its_name(fetch: Fetch, server: FakeHub) -> None:
    assert fetch(revision="refs/pr/1").revision == COMMIT
    with pytest.raises(FetchError, match="404"):
        fetch(revision="../main")


def test_a_second_run_fetches_nothing(fetch: Fetch, server: FakeHub) -> None:
    first = fetch()
    server.seen.clear()
    progress: list[tuple[str, int, int]] = []
    second = fetch(on_progress=lambda *step: progress.append(step))
    assert server.requests_for("/resolve/") == []
    assert [f.fetched for f in second.files] == [False] * len(WANTED)
    assert [f.sha256 for f in second.files] == [f.sha256 for f in first.files]
    assert progress == [(f.path, f.size, f.size) for f in first.files]


def test_a_changed_file_alone_is_fetched_again(fetch: Fetch, server: FakeHub, folder: Path) -> None:
    fetch()
    changed = folder / "PPR" / "qrels_dev.tsv"
    changed.write_bytes(changed.read_bytes().swapcase())
    server.seen.clear()
    assert [f.path for f in fetch().files if f.fetched] == ["PPR/qrels_dev.tsv"]
    assert len(server.requests_for("/resolve/")) == 1
    assert _files(folder) == WANTED


def test_a_redirect_to_another_host_without_a_token(
    fetch: Fetch, server: FakeHub, cdn: FakeHub, folder: Path
) -> None:
    server.redirect_to = cdn.address
    fetch()
    assert _files(folder) == WANTED
    assert len(cdn.seen) == len(WANTED)
    headers = " ".join(sent for _, sent in server.seen + cdn.seen).lower()
    assert not re.search("authorization|cookie|hf_not_to_be_sent", headers)


def test_cut_and_busy_in_one_fetch(
    fetch: Fetch, server: FakeHub, folder: Path, waits: list[float]
) -> None:
    server.statuses = [503]
    server.cuts = [300_000]
    fetch()
    assert _files(folder) == WANTED
    assert waits == [1.0, 1.0]


@pytest.mark.parametrize("path", [BIG, "queries/dev_queries.jsonl"], ids=["sha256", "git sha1"])
def test_a_wrong_checksum_leaves_nothing_of_that_file(
    fetch: Fetch, server: FakeHub, folder: Path, path: str
) -> None:
    server.served[path] = WANTED[path].swapcase()
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch()
    left = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert not left & {path, f"{path}.part", "SOURCE.json"}


def test_a_missing_repository_is_reported_at_once(
    fetch: Fetch, server: FakeHub, waits: list[float]
) -> None:
    server.repo = "somebody/else"
    with pytest.raises(FetchError, match="404") as caught:
        fetch()
    assert caught.value.hint is not None
    assert "PATIENTDX_HUB" in caught.value.hint
    assert waits == []


def test_a_hub_that_is_not_there(fetch: Fetch, server: FakeHub, waits: list[float]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as closed:
        port = closed.server_port
    with pytest.raises(FetchError, match="cannot be reached"):
        fetch(hub=f"http://127.0.0.1:{port}")
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert server.seen == []


@pytest.mark.parametrize(
    "address", ["ftp://hub", "hub.invalid", "http://", "http://h:x", "http://[", "http://a b/"]
)
def test_an_address_that_is_none(fetch: Fetch, waits: list[float], address: str) -> None:
    with pytest.raises(FetchError):
        fetch(hub=address)
    assert waits == []


def test_a_password_in_the_address_is_neither_sent_nor_shown(fetch: Fetch, server: FakeHub) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(hub=server.address.replace("http://", "http://me:secret@"))
    assert "secret" not in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"\xff\xfe", b"[" * 200_000, b"[]", b"{}", b'{"sha": "../.."}', b'{"sha": 1}'],
    ids=["html", "bytes", "brackets", "list", "empty", "no sha", "number"],
)
def test_garbage_for_json(fetch: Fetch, server: FakeHub, body: bytes) -> None:
    server.revision_json = body
    with pytest.raises(FetchError):
        fetch()
    assert server.requests_for("/tree/") == []


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": "9"}, {"oid": None}, {"oid": "0" * 39}, {"lfs": {}}, {"path": 3}],
    ids=str,
)
def test_garbage_in_the_listing(fetch: Fetch, server: FakeHub, change: dict[str, object]) -> None:
    server.tree_json = json.dumps([{**server.entries()[-1], **change}]).encode()
    with pytest.raises(FetchError, match=r"not safe|without a usable size|no usable `oid`"):
        fetch()


def test_a_listing_that_is_no_list(fetch: Fetch, server: FakeHub) -> None:
    server.tree_json = b'{"error": "invented"}'
    with pytest.raises(FetchError, match="cannot be understood"):
        fetch()


def test_a_listing_without_end(fetch: Fetch, server: FakeHub) -> None:
    server.page = 0
    with pytest.raises(FetchError, match="does not end"):
        fetch()


@pytest.mark.parametrize(
    "name", ["../out", "PPR/../../out", "/etc/out", "a//b", "C:/out", "..\\out", "a\nb", ""]
)
def test_names_that_lead_out_are_refused(
    fetch: Fetch, server: FakeHub, tmp_path: Path, name: str
) -> None:
    server.listed[name] = b"x"
    with pytest.raises(FetchError, match="not safe"):
        fetch()
    assert server.requests_for("/resolve/") == []
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=200)
@given(st.text(alphabet="./\\:aZ1", max_size=8))
def test_names_let_through_stay_inside(name: str) -> None:
    inside = os.path.normpath(f"/folder/{name}") == f"/folder/{name}"
    windows = PureWindowsPath(name)
    inside_on_windows = not windows.anchor and ".." not in windows.parts
    assert module._escapes_folder(name) or (inside and inside_on_windows)


def test_a_folder_that_is_a_file(fetch: Fetch, folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch()
