"""transformers: batches that come and go give what one prompt alone gives, and refusals."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import tiny_models
import torch
from completion_texts import texts

from patientdx.errors import ModelError
from patientdx.models import ModelSettings, open_model
from patientdx.models.settings import DEFAULTS
from patientdx.models.torch import decoding, scoring
from patientdx.models.torch.model import HfModel
from patientdx.models.torch.unbatched import generate_alone
from patientdx.protocols import GenerationSettings, Generator, Prompt, Scorer

SECRET = "Zaphodine"
SHORT = GenerationSettings(max_new_tokens=24)


@pytest.fixture(scope="module")
def net() -> Any:
    torch.set_num_threads(1)
    return tiny_models.model()


@pytest.fixture(scope="module")
def words() -> Any:
    return tiny_models.tokenizer()


def wrapped(net: Any, words: Any, settings: ModelSettings = DEFAULTS, **options: Any) -> HfModel:
    return HfModel.wrap(net, words, digest="tiny", settings=settings, **options)


def prompts(count: int, seed: int = 0, most: int = 30) -> list[str]:
    chance = random.Random(seed)
    vocabulary = tiny_models.WORDS.split()
    return [" ".join(chance.choices(vocabulary, k=chance.randint(1, most))) for _ in range(count)]


def by_transformers(model: HfModel, prompt: str, settings: GenerationSettings = SHORT) -> str:
    """The same by `model.generate`, alone."""
    tokens = torch.tensor([model.tokenizer.encode_prompt(prompt, settings.max_new_tokens)[0]])
    out = model.module.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(model.ends),
        pad_token_id=0,
    )
    return model.tokenizer.decode(out[0, tokens.shape[1] :].tolist())


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_a_batch_gives_what_each_prompt_alone_gives(net: Any, words: Any, batch: int) -> None:
    model = wrapped(net, words, ModelSettings(batch=batch))
    inputs = prompts(17)
    replies = texts(model.generate(inputs, SHORT))
    assert replies == [by_transformers(model, prompt) for prompt in inputs]
    assert len({len(reply) for reply in replies}) > 5  # they end at different steps
    assert texts(model.generate([], SHORT)) == []


def test_a_window_of_attention_is_kept_in_batches(words: Any) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    net = MistralForCausalLM(
        MistralConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
    )
    model = wrapped(net.eval(), words, ModelSettings(batch=4))
    inputs = prompts(9)
    assert texts(model.generate(inputs, SHORT)) == [
        by_transformers(model, prompt) for prompt in inputs
    ]
    check_scores(model, [("the patient", " has a fever and chills"), ("", tiny_models.WORDS)])


def test_models_with_a_state_answer_one_by_one(words: Any) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(1)
    config = MambaConfig(
        vocab_size=len(words), hidden_size=32, state_size=4, num_hidden_layers=2, eos_token_id=2
    )
    model = wrapped(MambaForCausalLM(config).eval(), words)
    inputs = prompts(3)
    assert texts(model.generate(inputs, SHORT)) == [
        by_transformers(model, prompt) for prompt in inputs
    ]
    check_scores(model, [("the patient", " has a fever"), ("the patient", " pain")])


def test_sampling_depends_on_the_seed_and_not_on_the_batch(net: Any, words: Any) -> None:
    inputs = prompts(6)
    settings = GenerationSettings(max_new_tokens=12, temperature=1.5, seed=3)
    together = texts(wrapped(net, words, ModelSettings(batch=6)).generate(inputs, settings))
    alone = texts(wrapped(net, words, ModelSettings(batch=1)).generate(inputs, settings))
    other = GenerationSettings(max_new_tokens=12, temperature=1.5, seed=4)
    assert together == alone
    assert together != texts(wrapped(net, words).generate(inputs, other))
    assert together != texts(wrapped(net, words).generate(inputs, SHORT))


def test_sampling_follows_the_probabilities(net: Any, words: Any) -> None:
    """The first token of many seeds, against the softmax of the model itself."""
    model = wrapped(net, words, ModelSettings(prompt_format="raw"))
    logits = net(torch.tensor([model.tokenizer.encode("the patient")])).logits[0, -1]
    expected = torch.softmax(logits.detach() / 2.0, -1)
    seen = torch.zeros(len(expected))
    decoder = decoding.Decoder(net, frozenset(), SHORT, model.tokenizer.decode)
    for seed in range(400):
        decoder.settings = GenerationSettings(max_new_tokens=1, temperature=2.0, seed=seed)
        ((token,),) = decoder.run([model.tokenizer.encode("the patient")], 1, lambda _: None)
        seen[token] += 1 / 400
    assert float((seen - expected).abs().sum()) / 2 < 0.35
    assert float(seen[expected.argmax()]) == pytest.approx(float(expected.max()), abs=0.08)


def test_a_reply_ends_at_stop_strings_and_numbers(net: Any, words: Any) -> None:
    model = wrapped(net, words)
    inputs = prompts(5)
    whole = texts(model.generate(inputs, SHORT))
    stop = whole[0][4:6]
    cut = texts(model.generate(inputs, GenerationSettings(max_new_tokens=24, stop=(stop, "never"))))
    assert cut == [reply.partition(stop)[0] for reply in whole]
    assert cut[0] != whole[0]
    assert texts(model.generate(inputs, GenerationSettings(max_new_tokens=0))) == [""] * 5
    few = texts(model.generate(inputs, GenerationSettings(max_new_tokens=3)))
    assert all(len(model.tokenizer.encode(reply)) <= 9 for reply in few)


def test_the_template_is_applied_where_there_is_one(net: Any, words: Any) -> None:
    plain = tiny_models.tokenizer(template=False)
    chat, raw = wrapped(net, words), wrapped(net, words, ModelSettings(prompt_format="raw"))
    shown = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert words.decode(chat.tokenizer.encode_prompt("Hello", 1)[0]) == shown
    assert words.decode(raw.tokenizer.encode_prompt("Hello", 1)[0]) == "Hello"
    assert words.decode(wrapped(net, plain).tokenizer.encode_prompt("Hello", 1)[0]) == "Hello"
    with pytest.raises(ModelError, match="no chat template"):
        wrapped(net, plain, ModelSettings(prompt_format="chat"))
    assert chat.digest != raw.digest


def test_a_long_note_is_cut_and_counted(net: Any, words: Any) -> None:
    model = wrapped(net, words, ModelSettings(context=100))
    inputs = Prompt("Note: ", "fever and chills " * 100, " Words?")
    tokens, cut = model.tokenizer.encode_prompt(inputs, 20)
    assert cut
    assert 70 < len(tokens) <= 80
    text = words.decode(tokens)
    assert "Note: fever" in text
    assert " Words?<|im_end|>" in text
    completions = model.generate([inputs, "short", inputs], GenerationSettings(max_new_tokens=20))
    assert [completion.truncated for completion in completions] == [True, False, True]
    assert completions[0].prompt_tokens == len(tokens)
    with pytest.raises(ModelError, match="question alone") as raised:
        model.generate([Prompt(SECRET * 100, "a note")])
    assert SECRET not in f"{raised.value} {raised.value.hint}"


def check_scores(model: HfModel, pairs: Sequence[tuple[str, str]]) -> None:
    """Against a forward pass of each pair on its own."""
    for pair, results in zip(pairs, model.logprobs(pairs), strict=True):
        before, after = model.tokenizer.encode_pair(*pair)
        logits = model.module(torch.tensor([[*before, *after]]), use_cache=False).logits[0]
        told = torch.log_softmax(logits.detach().double(), -1)
        expected = [float(told[len(before) - 1 + at, token]) for at, token in enumerate(after)]
        assert results == pytest.approx(expected, abs=1e-4)


PAIRS = [
    ("the patient", " has a fever"),
    ("", tiny_models.WORDS),
    ("the patient", " pain"),
    ("the pat", "ient has"),
    ("the patient", ""),
    ("a", "b"),
    ("the patient", " has a fever and chills, the note"),
]


def test_probabilities_are_those_of_the_model(net: Any, words: Any) -> None:
    model = wrapped(net, words)
    check_scores(model, PAIRS)
    assert model.logprobs([]) == []
    assert len(model.logprobs([("", tiny_models.WORDS)])[0]) == len(
        words(tiny_models.WORDS).input_ids
    )
    assert isinstance(model, Generator)
    assert isinstance(model, Scorer)


def test_long_texts_are_scored_in_stretches(
    net: Any, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_MOST_LOGITS", 300 * 7)
    monkeypatch.setattr(scoring, "_MOST_ROWS", 2)
    check_scores(wrapped(net, words), PAIRS)


def test_pairs_that_share_a_prompt_cost_one_pass_of_it(net: Any, words: Any) -> None:
    model = wrapped(net, words)
    read: list[int] = []
    handle = net.register_forward_pre_hook(
        lambda _module, _args, options: read.append(options["input_ids"].numel()), with_kwargs=True
    )
    try:
        prompt = " ".join(prompts(6))
        model.logprobs([(prompt, " yes"), (prompt, " no"), (prompt, " maybe")])
    finally:
        handle.remove()
    length = len(model.tokenizer.encode(prompt))
    assert length > 60
    assert read[0] == length - 1
    assert sum(read) < length + 3 * 10


def test_a_text_longer_than_the_context_is_not_scored(net: Any, words: Any) -> None:
    with pytest.raises(ModelError, match="longer than the context of 256") as raised:
        wrapped(net, words).logprobs([("", f"{SECRET} " * 300)])
    assert SECRET not in str(raised.value)


class Narrow:
    """A model whose memory holds `rows` rows."""

    def __init__(self, net: Any, rows: int) -> None:
        self.net, self.rows = net, rows
        self.config, self.generation_config = net.config, net.generation_config
        self.device, self.dtype = net.device, net.dtype
        self.get_output_embeddings = net.get_output_embeddings

    def eval(self) -> "Narrow":
        return self

    def forward(
        self, input_ids: Any, cache: Any = None, logits_to_keep: int = 0, **options: Any
    ) -> Any:
        if input_ids.shape[0] > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(input_ids, cache=cache, logits_to_keep=logits_to_keep, **options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.forward(*arguments, **options)


def test_the_batch_is_halved_when_memory_runs_out(net: Any, words: Any) -> None:
    warnings: list[str] = []
    narrow = wrapped(Narrow(net, 3), words, ModelSettings(batch=8), warn=warnings.append)
    inputs = prompts(11)
    assert texts(narrow.generate(inputs, SHORT)) == texts(
        wrapped(net, words).generate(inputs, SHORT)
    )
    assert [values.partition(":")[0] for values in warnings] == [
        "out of memory with 8 prompts at once",
        "out of memory with 4 prompts at once",
    ]
    pairs = [("the patient", f" {word}") for word in tiny_models.WORDS.split()]
    results = narrow.logprobs(pairs)
    for values, other in zip(results, wrapped(net, words).logprobs(pairs), strict=True):
        assert values == pytest.approx(other, abs=1e-4)
    with pytest.raises(ModelError, match="single prompt"):
        wrapped(Narrow(net, 0), words).generate(inputs, SHORT)


def test_other_failures_are_not_taken_for_a_lack_of_memory(net: Any, words: Any) -> None:
    class Broken(Narrow):
        def forward(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        wrapped(Broken(net, 1), words).generate(["a"], SHORT)


@pytest.mark.parametrize(("ends", "pad"), [(frozenset({7, 5}), 5), (frozenset(), 0)])
def test_a_lone_prompt_names_a_padding_token(ends: frozenset[int], pad: int) -> None:
    """Without one transformers would warn, or choose among several end tokens."""
    options: dict[str, Any] = {}

    class Recorder:
        device = torch.device("cpu")

        def generate(self, tokens: Any, **arguments: Any) -> Any:
            options.update(arguments)
            return torch.cat([tokens, torch.tensor([[9, 5]])], dim=1)

    reply = generate_alone(Recorder(), [1, 2], GenerationSettings(max_new_tokens=4), ends)
    assert reply == ([9] if ends else [9, 5])
    assert options["pad_token_id"] == pad
    assert options["eos_token_id"] == (sorted(ends) or None)


def test_a_folder_is_what_was_saved(tmp_path: Path, net: Any, words: Any) -> None:
    folder = tiny_models.save_folder(tmp_path / "tiny")
    model = open_model(str(folder), ModelSettings(cache=tmp_path / "cache"))
    assert model.name == "tiny"
    inputs = prompts(3)
    assert texts(model.generate(inputs, SHORT)) == texts(
        wrapped(net, words).generate(inputs, SHORT)
    )
    again = open_model(str(folder), ModelSettings(cache=tmp_path / "cache"))
    assert again.digest == model.digest
    low = open_model(str(folder), ModelSettings(dtype="bfloat16"))
    assert low.digest != model.digest
    assert len(low.generate(inputs, SHORT)) == 3
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 5}))
    assert open_model(str(folder)).digest != model.digest


def test_four_bits_are_asked_of_bitsandbytes(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra hf")
    folder = tiny_models.save_folder(tmp_path / "tiny", intermediate_size=128)
    model = HfModel.load(folder, ModelSettings(quantize="nf4"))
    layer = model.module.model.layers[0].mlp.up_proj
    assert type(layer).__name__ == "Linear4bit"
    assert (layer.weight.quant_type, layer.weight.compress_statistics) == ("nf4", True)
    assert model.digest != HfModel.load(folder).digest
    assert len(model.generate(["the patient"], SHORT)) == 1


def test_what_cannot_be_loaded_is_reported_in_a_sentence(tmp_path: Path) -> None:
    def refused(damage: str) -> None:
        with pytest.raises(ModelError, match="cannot load this model") as raised:
            open_model(str(tmp_path / damage))
        assert "\n" not in raised.value.message
        assert raised.value.hint

    for damage in ("weights", "config", "architecture", "tokenizer", "code"):
        folder = tiny_models.save_folder(tmp_path / damage)
        config = json.loads((folder / "config.json").read_text())
        if damage == "weights":
            whole = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(whole[:-100])
        elif damage == "config":
            (folder / "config.json").write_text("{")
        elif damage == "architecture":
            (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
        elif damage == "tokenizer":
            for file in folder.glob("tokenizer*"):
                file.unlink()
        else:
            config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Model"}}
            (folder / "config.json").write_text(json.dumps(config))
            (folder / "own.py").write_text("raise SystemExit('code of a model was run')")
        refused(damage)
