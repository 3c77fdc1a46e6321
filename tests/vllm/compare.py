"""vLLM against transformers on SmolLM2 in float32, in process and over HTTP; called by `run`."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from patientdx.errors import ModelError
from patientdx.fetching.model_cache import locate_model
from patientdx.models import ModelSettings
from patientdx.models.http.server import ServerModel
from patientdx.models.torch.model import HfModel
from patientdx.models.vllm import VllmModel
from patientdx.protocols import Completion, GenerationSettings, Prompt
from patientdx.settings import settings_from_environment

NEAR = 1e-2
SETTINGS = GenerationSettings(max_new_tokens=40)
ASK = "List the medical keywords of this note: "
NOTES = [
    "A 44-year-old man has a painful swollen toe after a night of beer and steak.",
    "Woman of 63 with crushing chest pain hours after the sudden death of her brother.",
    "A child of three with barking cough and stridor at night.",
    "Fever and a new murmur in a man who injects drugs, vegetation on the mitral valve.",
    "Broad-based gait, urinary urgency and failing memory in a woman of 78.",
]
PROMPTS = [Prompt(ASK, note, "\nKeywords:") for note in NOTES]
PAIRS = [(note, f" {text}") for note in NOTES[:2] for text in ("He has gout.", "Asthma", NOTES[2])]
PAIRS += [("", note) for note in NOTES]


def texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as a folder of float32, out of its GGUF."""
    cache = settings_from_environment(os.environ, Path.home()).cache
    opened = HfModel.load(locate_model("smollm2", cache))
    net, out = opened.module, tmp_path_factory.mktemp("smollm2")
    skipped = {"quantization_config", "_name_or_path"}
    config = {key: value for key, value in net.config.to_dict().items() if key not in skipped}
    clean = type(net)(type(net.config)(**config))
    clean.load_state_dict(net.state_dict())
    clean.generation_config = net.generation_config
    clean.save_pretrained(out)
    opened.tokenizer.tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def hf(folder: Path) -> HfModel:
    return HfModel.load(folder, ModelSettings(dtype="float32", context=1024))


@pytest.fixture(scope="module")
def engine(folder: Path) -> VllmModel:
    return VllmModel.load(folder, ModelSettings(dtype="float32", context=1024, batch=8))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerModel]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", "1024"),
        *("--dtype", "float32", "--enforce-eager", "--served-model-name", "smollm2"),
        "--no-enable-prefix-caching",
    )
    with subprocess.Popen(command) as process:
        try:
            yield connected(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()


def connected(url: str, process: "subprocess.Popen[bytes]") -> ServerModel:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            return ServerModel.connect(url, ModelSettings(attempts=1))
        except ModelError:
            time.sleep(1)
    raise AssertionError("the server did not begin to answer")


def parts_at_a_near_tie(hf: HfModel, prompt: Prompt) -> bool:
    """Whether the model hardly prefers one of the tokens of its reply."""
    tokens, _ = hf.tokenizer.encode_prompt(prompt, SETTINGS.max_new_tokens)
    with torch.inference_mode():
        for _ in range(SETTINGS.max_new_tokens):
            best = hf.module(torch.tensor([tokens])).logits[0, -1].topk(2)
            if float(best.values[0] - best.values[1]) <= NEAR:
                return True
            tokens = [*tokens, int(best.indices[0])]
    return False


def check(hf: HfModel, other: Any) -> None:
    expected = texts(hf.generate(PROMPTS, SETTINGS))
    replies = texts(other.generate(PROMPTS, SETTINGS))
    assert len(set(expected)) == len(PROMPTS)
    for prompt, ours, theirs in zip(PROMPTS, expected, replies, strict=True):
        assert ours == theirs or parts_at_a_near_tie(hf, prompt)
    equal = sum(ours == theirs for ours, theirs in zip(expected, replies, strict=True))
    print("equal texts:", equal, "of", len(replies))


def test_the_engine_writes_as_transformers_does(hf: HfModel, engine: VllmModel) -> None:
    check(hf, engine)


def test_the_engine_reads_as_transformers_does(hf: HfModel, engine: VllmModel) -> None:
    for ours, theirs in zip(hf.logprobs(PAIRS), engine.logprobs(PAIRS), strict=True):
        assert ours == pytest.approx(theirs, abs=NEAR)


def test_the_engine_weighs_answers_as_transformers_does(hf: HfModel, engine: VllmModel) -> None:
    """Forms of one token and of several: " survived" is one, "surv" + "ived" are two."""
    answers = ((" yes", "Yes", " 1", "dead"), (" no", "No", " survived", "survived"))
    for place in range(len(PROMPTS)):
        ours, theirs = (next(model.choose(PROMPTS[place : place + 1], answers))[0]
                    for model in (hf, engine))  # fmt: skip
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=NEAR)
        assert (ours.tokens, ours.cut) == (theirs.tokens, theirs.cut)


def test_the_engine_cuts_and_counts_long_notes(engine: VllmModel) -> None:
    (completion,) = engine.generate([Prompt(ASK, "gout " * 3000)], SETTINGS)
    assert completion.truncated


def test_the_engine_stops_and_samples(hf: HfModel, engine: VllmModel) -> None:
    stop = GenerationSettings(max_new_tokens=40, stop=(",", "."))
    assert texts(engine.generate(PROMPTS[:2], stop)) == texts(hf.generate(PROMPTS[:2], stop))
    sampled = GenerationSettings(max_new_tokens=20, temperature=1.0, seed=5)
    assert texts(engine.generate(PROMPTS[:2], sampled)) == texts(
        engine.generate(PROMPTS[:2], sampled)
    )


def test_the_server_writes_as_transformers_does(hf: HfModel, server: ServerModel) -> None:
    check(hf, server)


def test_the_server_reads_as_transformers_does(hf: HfModel, server: ServerModel) -> None:
    pairs = [pair for pair in PAIRS if pair[0]]
    for ours, theirs in zip(hf.logprobs(pairs), server.logprobs(pairs), strict=True):
        assert ours == pytest.approx(theirs, abs=NEAR)
    with pytest.raises(ModelError, match="without a prompt"):  # SmolLM2 adds no beginning
        server.logprobs([("", NOTES[0])])
