"""Requests to a model server: only to allowed addresses, bounded, retried, interruptible."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from completion_texts import texts
from fault_server import FAST, SECRET, Answer, Script, failure, in_turn, reply, serving
from interrupts import RESTORE_SIGINT
from paths import ROOT

from patientdx.errors import ModelError
from patientdx.models import ModelSettings, open_model
from patientdx.models.http.address import ServerAddress
from patientdx.models.http.client import JsonClient, UnansweredError
from patientdx.models.http.served_models import served_model
from patientdx.models.http.server import ServerModel


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://localhost/v1", "https://[::1]:8000", "http://127.9.9.9"],
)
def test_this_machine_needs_no_leave(url: str) -> None:
    assert str(ServerAddress.parse(url, allow_remote=False)) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8000",
        "http://example.org",
        "https://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://0.0.0.0:8000",
        "http://[::ffff:192.0.2.1]",
    ],
)
def test_another_machine_needs_leave(url: str) -> None:
    with pytest.raises(ModelError, match="patient text, would leave") as raised:
        open_model(url, ModelSettings(timeout_s=0.1))
    assert "--allow-remote" in str(raised.value.hint)
    address = ServerAddress.parse(url, allow_remote=True)
    assert str(address) == url
    assert address.is_remote


def test_the_user_is_warned_where_patient_text_goes() -> None:
    client = JsonClient(ServerAddress.parse("http://192.0.2.1:8000", allow_remote=True))
    warnings: list[str] = []
    entry = {"id": "tiny"}
    ServerModel(client, served_model(entry), ModelSettings(), warn=warnings.append)
    assert warnings[:2] == [
        "prompts, and so patient text, are sent to 192.0.2.1",
        "patient text is sent to 192.0.2.1 unencrypted: its address begins with http, not https",
    ]


@pytest.mark.parametrize(
    "url", ["http://", "ftp://localhost", "http://u:p@localhost", "http://localhost:x", "http://[1"]
)
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(ModelError):
        ServerAddress.parse(url, allow_remote=True)


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    with serving(Script(lambda _: reply("direct"))) as url:
        model = open_model(url, ModelSettings(timeout_s=5))
        assert texts(model.generate(["a"])) == ["direct"]


def test_no_redirect_is_followed() -> None:
    elsewhere = Script(lambda _: reply("caught"))
    with serving(elsewhere) as other:
        away = Answer(b"", 307, {"Location": f"{other}/v1/chat/completions"})
        with serving(Script(lambda _: away)) as url:
            model = open_model(url, ModelSettings(timeout_s=5, prompt_format="chat"))
            with pytest.raises(ModelError, match="answered 307"):
                model.generate([SECRET])
    assert elsewhere.requests == []


def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patientdx.models.http.client._MOST_BYTES", 1000)
    script = Script()
    script.paths["/big"] = lambda _: Answer(b" " * 300_000)
    with serving(script) as url:
        client = JsonClient(ServerAddress.parse(url, allow_remote=False), attempts=1)
        with pytest.raises(UnansweredError):
            client.request("/big")


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_may_pass_are_retried(status: int) -> None:
    waits: list[float] = []
    script = Script(in_turn(failure(status), failure(status), reply("at last")))
    with serving(script) as url:
        model = ServerModel.connect(url, FAST, sleep=waits.append)
        assert texts(model.generate([SECRET])) == ["at last"]
    assert waits == [1.0, 2.0]


def test_waits_are_jittered_upwards_only(monkeypatch: pytest.MonkeyPatch) -> None:
    client = JsonClient(ServerAddress.parse("http://127.0.0.1:1", allow_remote=False))
    waits: list[float] = []
    monkeypatch.setattr(client._stop, "wait", waits.append)
    for _ in range(200):
        client._wait(4.0)
    assert min(waits) >= 4.0
    assert max(waits) <= 5.0
    assert len(set(waits)) > 100


def test_connections_are_kept_and_shared_between_requests() -> None:
    script = Script(lambda _: reply("yes"))
    script.keeps_connections = True
    with serving(script) as url:
        model = open_model(url, ModelSettings(timeout_s=5, batch=4))
        for _ in range(5):
            assert texts(model.generate(["a"] * 8)) == ["yes"] * 8
        model.close()
    assert len(script.bodies()) == 40
    assert len(set(script.clients)) <= 5


def test_a_connection_closed_while_idle_is_no_failure() -> None:
    script = Script(lambda _: replace(reply("yes"), hangs_up=True))
    script.keeps_connections = True
    with serving(script) as url:
        model = open_model(url, ModelSettings(timeout_s=5, attempts=1, batch=1))
        assert texts(model.generate(["a"] * 20)) == ["yes"] * 20
        model.close()


def test_the_deadline_covers_headers_that_drip() -> None:
    many = {f"X-{number}": "x" for number in range(50)}
    slow = replace(reply("yes"), headers=many, header_drip_s=0.1)
    with serving(Script(lambda _: slow)) as url:
        model = open_model(url, ModelSettings(timeout_s=0.5, attempts=1))
        start = time.monotonic()
        with pytest.raises(ModelError, match="did not answer in time"):
            model.generate([SECRET])
        assert time.monotonic() - start < 3


def test_cookies_of_a_server_are_not_sent_back() -> None:
    script = Script(lambda _: replace(reply("yes"), headers={"Set-Cookie": "session=1; Path=/"}))
    with serving(script) as url:
        model = open_model(url, ModelSettings(timeout_s=5, batch=1))
        model.generate(["a", "b", "c"])
    assert not any("Cookie" in headers for headers in script.headers)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("batch", [1, 4])
def test_an_interrupt_ends_a_batch_at_once(batch: int) -> None:
    script = Script(lambda _: Answer(b"", wait_s=30))
    program = (
        f"{RESTORE_SIGINT}"
        "import sys\n"
        "from patientdx.models import ModelSettings, open_model\n"
        f"model = open_model(sys.argv[1], ModelSettings(batch={batch}))\n"
        f"model.generate(['{SECRET}'] * 8)\n"
    )
    with serving(script) as url:
        process = subprocess.Popen(
            [sys.executable, "-c", program, url], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        while len(script.bodies()) < batch:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=15)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert len(script.bodies()) <= batch + 1
