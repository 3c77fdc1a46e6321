"""The wire to a server: only to where it may go, and stopped at once by an interrupt."""

import os
import signal
import subprocess
import sys
import time

import pytest
from completion_texts import texts
from fault_server import SECRET, Answer, Script, reply, serving
from paths import ROOT

from patientdx.errors import ModelError
from patientdx.models import ModelSettings, open_model
from patientdx.models.http import server
from patientdx.models.http.server import ServerModel
from patientdx.models.http.wire import Address, UnansweredError, Wire


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://localhost/v1", "https://[::1]:8000", "http://127.9.9.9"],
)
def test_this_machine_needs_no_leave(url: str) -> None:
    assert str(Address.parse(url, allow_remote=False)) == url


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
    address = Address.parse(url, allow_remote=True)
    assert str(address) == url
    assert address.is_remote


def test_the_user_is_told_where_patient_text_goes() -> None:
    wire = Wire(Address.parse("http://192.0.2.1:8000", allow_remote=True))
    warnings: list[str] = []
    entry = {"id": "tiny"}
    ServerModel(wire, server._about(entry), ModelSettings(), warn=warnings.append)
    assert warnings[0] == "prompts, and so patient text, are sent to 192.0.2.1"


@pytest.mark.parametrize(
    "url", ["http://", "ftp://localhost", "http://u:p@localhost", "http://localhost:x", "http://[1"]
)
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(ModelError):
        Address.parse(url, allow_remote=True)


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
    assert elsewhere.asked == []


def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patientdx.models.http.wire._MOST_BYTES", 1000)
    script = Script()
    script.paths["/big"] = lambda _: Answer(b" " * 300_000)
    with serving(script) as url:
        wire = Wire(Address.parse(url, allow_remote=False), attempts=1)
        with pytest.raises(UnansweredError):
            wire.ask("/big")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("batch", [1, 4])
def test_an_interrupt_ends_a_batch_at_once(batch: int) -> None:
    script = Script(lambda _: Answer(b"", wait_s=30))
    program = (
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
