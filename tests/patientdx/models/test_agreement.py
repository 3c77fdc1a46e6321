"""One set of weights, four ways to run it: transformers, its GGUF, llama.cpp, and a server.

The texts are the same under greedy decoding, or part at a near-tie: where the two best tokens
are within 1e-2 in log-probability. Probabilities agree to 1e-2.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("gguf", reason="needs the extra hf")
pytest.importorskip("xllamacpp", reason="needs the extra local")

import tiny_models
import torch
from completion_texts import texts

from patientdx.errors import ModelError
from patientdx.models import ModelSettings, open_model
from patientdx.models.http.server import ServerModel
from patientdx.models.llamacpp import LlamaCppModel, has_chat_template
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings, Prompt

NEAR = 1e-2
SETTINGS = GenerationSettings(max_new_tokens=32)


@dataclass
class Four:
    """The four of them; `base` is the torch module."""

    hf: HfModel
    gguf: HfModel
    llama: LlamaCppModel
    server: ServerModel
    path: Path
    base: Any

    @property
    def others(self) -> dict[str, Any]:
        return {"gguf": self.gguf, "llama.cpp": self.llama, "server": self.server}


@pytest.fixture(scope="module", params=["chat", "raw"])
def four(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    torch.set_num_threads(1)
    words = tiny_models.tokenizer(template=request.param == "chat")
    net = tiny_models.model(vocabulary=len(words), context=512)
    path = tiny_models.save_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", net, words)
    settings = ModelSettings(dtype="float32", threads=1, context=512)
    llama = LlamaCppModel.load(path, settings)
    behind = ModelSettings(
        api_key=llama._api.client.api_key, prompt_format=request.param, timeout_s=60, batch=1
    )
    yield Four(
        HfModel.wrap(net, words, digest="tiny", settings=settings),
        HfModel.load(path, settings),
        llama,
        ServerModel.connect(llama._server.listening_address, behind),
        path,
        net,
    )
    llama.close()


def prompts(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    vocabulary = tiny_models.WORDS.split()
    return [" ".join(chance.choices(vocabulary, k=chance.randint(1, 40))) for _ in range(count)]


def whole(text: str) -> str:
    """A text without the half character that a reply may end in: each shows that otherwise."""
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def parts_at_a_near_tie(four: Four, prompt: str | Prompt, first: str, other: str) -> bool:
    """Whether the model itself hardly prefers the token at which two texts part."""
    tokens, _ = four.hf.tokenizer.encode_prompt(prompt, SETTINGS.max_new_tokens)
    with torch.inference_mode():
        for _ in range(SETTINGS.max_new_tokens):
            best, second = four.base(torch.tensor([tokens])).logits[0, -1].topk(2)[0].tolist()
            if best - second <= NEAR:
                return True
            tokens = [*tokens, int(four.base(torch.tensor([tokens])).logits[0, -1].argmax())]
    return False


def test_all_write_the_same(four: Four) -> None:
    inputs = prompts(24)
    expected = texts(four.hf.generate(inputs, SETTINGS))
    assert len(set(expected)) > 20
    for name, model in four.others.items():
        for prompt, text, other in zip(
            inputs, expected, texts(model.generate(inputs, SETTINGS)), strict=True
        ):
            assert whole(text) == whole(other) or parts_at_a_near_tie(four, prompt, text, other), (
                name
            )


def test_all_read_the_same(four: Four) -> None:
    texts = [str(prompt) for prompt in prompts(8, seed=1)]
    pairs = [(prompt, f" {text}") for prompt in texts[:3] for text in texts[3:6]]
    pairs += [("", text) for text in texts]
    pairs += [(texts[0], "")]
    expected = four.hf.logprobs(pairs)
    for name, model in four.others.items():
        for logprobs, other in zip(expected, model.logprobs(pairs), strict=True):
            assert logprobs == pytest.approx(other, abs=NEAR), name


def test_long_texts_are_read_in_stretches(four: Four, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patientdx.models.http.llama_api._MOST_GRAMMAR_TOKENS", 5)
    pairs = [("", tiny_models.WORDS)]
    (expected,), (results,) = four.hf.logprobs(pairs), four.llama.logprobs(pairs)
    assert len(results) > 15
    assert expected == pytest.approx(results, abs=NEAR)


def test_all_end_at_stop_strings(four: Four) -> None:
    inputs = prompts(6, seed=2)
    replies = texts(four.hf.generate(inputs, SETTINGS))
    stop = next(text[at] for text in replies for at in range(4, len(text)) if text[at].isalpha())
    settings = GenerationSettings(max_new_tokens=32, stop=(stop,))
    expected = [whole(text.partition(stop)[0]) for text in replies]
    for model in (four.hf, four.gguf, four.llama, four.server):
        assert [whole(text) for text in texts(model.generate(inputs, settings))] == expected


def test_all_cut_long_notes_alike(four: Four) -> None:
    inputs = Prompt("Note: ", "fever and chills " * 300, " Words?")
    for model in (four.hf, four.gguf, four.llama, four.server):
        completions = model.generate([inputs, "short"], SETTINGS)
        assert [completion.truncated for completion in completions] == [True, False]
    assert four.llama._encode_prompt(inputs, 32) == four.hf.tokenizer.encode_prompt(inputs, 32)


def test_all_count_tokens_alike(four: Four) -> None:
    short = GenerationSettings(max_new_tokens=3)
    expected = four.hf.generate(["the patient", "fever and chills"], short)
    for model in (four.gguf, four.llama, four.server):
        completions = model.generate(["the patient", "fever and chills"], short)
        for completion, reference in zip(completions, expected, strict=True):
            assert completion.prompt_tokens == reference.prompt_tokens
            assert completion.stop_reason == reference.stop_reason == "length"
            assert completion.completion_tokens == reference.completion_tokens == 3


def test_llama_cpp_answers_alike_again_and_in_batches(four: Four) -> None:
    """What it keeps of other prompts does not show in an answer."""
    inputs = prompts(5, seed=3)
    first = texts(four.llama.generate(inputs, SETTINGS))
    assert texts(four.llama.generate(inputs[::-1], SETTINGS))[::-1] == first
    many = LlamaCppModel.load(
        four.path, ModelSettings(dtype="float32", threads=1, context=512, batch=3)
    )
    assert many._api.context == 512
    for prompt, text, other in zip(
        inputs, first, texts(many.generate(inputs, SETTINGS)), strict=True
    ):
        assert whole(text) == whole(other) or parts_at_a_near_tie(four, prompt, text, other)
    many.close()


def test_sampling_has_a_seed(four: Four) -> None:
    inputs = prompts(3)
    settings = GenerationSettings(max_new_tokens=12, temperature=1.5, seed=3)
    other = GenerationSettings(max_new_tokens=12, temperature=1.5, seed=4)
    for model in (four.llama, four.server):
        assert texts(model.generate(inputs, settings)) == texts(model.generate(inputs, settings))
        assert texts(model.generate(inputs, settings)) != texts(model.generate(inputs, other))


def test_the_door_of_llama_cpp_has_a_lock(four: Four) -> None:
    address = four.llama._server.listening_address
    closed = ModelSettings(attempts=1, model=four.server.name)
    with pytest.raises(Exception, match="answered 401"):
        open_model(address, closed).generate(["a"])


def test_digests_tell_files_and_settings_apart(four: Four) -> None:
    raw = ModelSettings(dtype="float32", threads=1, context=512, prompt_format="raw")
    same = LlamaCppModel.load(four.path, ModelSettings(dtype="float32", threads=1, context=512))
    other = LlamaCppModel.load(four.path, ModelSettings(threads=1, context=256))
    assert four.llama.digest == same.digest
    assert four.llama.digest not in {other.digest, four.gguf.digest, four.server.digest}
    has = has_chat_template(four.path)
    assert (LlamaCppModel.load(four.path, raw).digest == same.digest) is not has


def test_opening_says_nothing(four: Four, capfd: pytest.CaptureFixture[str]) -> None:
    HfModel.load(four.path)
    assert capfd.readouterr() == ("", "")


ANSWERS = (("yes", " yes", "Yes", "1"), ("no", " no", " alive", "0"))


def test_all_weigh_answers_alike(four: Four) -> None:
    """Reading once with one column of logits, and llama.cpp's forced steps."""
    inputs = [Prompt("Note: ", note, " Dead? Answer:") for note in prompts(4)]
    choices = [
        {
            place: choice
            for batch in model.choose(inputs, ANSWERS)
            for place, choice in batch.items()
        }
        for model in (four.hf, four.gguf, four.llama)
    ]
    for place in range(4):
        first, *others = [choice[place] for choice in choices]
        for other in others:
            assert other.logprobs == pytest.approx(first.logprobs, abs=NEAR)
            assert (other.tokens, other.cut) == (first.tokens, False)
    with pytest.raises(ModelError, match="cannot weigh answers"):
        four.server.choose(inputs, ANSWERS)
