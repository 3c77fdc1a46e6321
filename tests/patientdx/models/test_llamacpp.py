"""llama.cpp in process: what it refuses, what it leaves behind, and that it can be interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupts import RESTORE_SIGINT
from paths import ROOT

pytest.importorskip("xllamacpp", reason="needs the extra local")
pytest.importorskip("torch", reason="the model of these tests is made with the extra hf")
pytest.importorskip("gguf", reason="the model of these tests is made with the extra hf")

import tiny_models

from patientdx.errors import ModelError
from patientdx.models import ModelSettings, llamacpp, open_model
from patientdx.protocols import Generator, Scorer

SECRET = "Zaphodine"
PROGRAM = f"""{RESTORE_SIGINT}
import sys
from patientdx.models import ModelSettings, open_model
from patientdx.protocols import GenerationSettings
model = open_model(sys.argv[1], ModelSettings(threads=1, context=60_000))
print("open", flush=True)
model.generate(["{SECRET} the patient"] * 2, GenerationSettings(max_new_tokens=int(sys.argv[2])))
print("done")
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = tiny_models.tokenizer()
    # Nothing ends a reply of a model whose end is never the best token.
    net = tiny_models.model(vocabulary=len(words), context=65_536)
    net.lm_head.weight.data[:4] = 0
    return tiny_models.save_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", net, words)


def run(path: Path, tokens: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), str(tokens)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_offers_both_protocols(path: Path) -> None:
    model = open_model(str(path), ModelSettings(threads=1, context=256))
    assert isinstance(model, Generator)
    assert isinstance(model, Scorer)
    assert (model.name, model.batch) == ("tiny", 1)
    with pytest.raises(ModelError, match="longer than the context of 256") as raised:
        model.logprobs([("", f"{SECRET} " * 300)])
    assert SECRET not in str(raised.value)
    model.close()


def test_it_says_nothing_by_itself(path: Path) -> None:
    out, err = run(path, 8).communicate(timeout=60)
    assert (out, err) == ("open\ndone\n", "")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
def test_an_interrupt_ends_it_at_once(path: Path) -> None:
    process = run(path, 50_000)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert SECRET not in errors


@pytest.mark.parametrize("length", [4, 64, 3000, -2000])
def test_a_damaged_file_is_reported(path: Path, tmp_path: Path, length: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match="cannot load this file") as raised:
        open_model(str(broken))
    assert "damaged" in str(raised.value.hint)


def test_an_unknown_architecture_is_reported(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(path.read_bytes().replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0never"))
    with pytest.raises(ModelError, match="cannot load this file"):
        open_model(str(other))


@pytest.mark.parametrize(
    ("cores", "load", "threads"), [(4, 0.1, 4), (4, 1.2, 3), (2, 2.6, 1), (1, 0.0, 1), (8, 50.0, 1)]
)
def test_as_many_threads_as_cores_are_idle(
    monkeypatch: pytest.MonkeyPatch, cores: int, load: float, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert llamacpp._idle_cores() == threads
