"""Answers weighed by transformers: batches against one full log-softmax a prompt, and refusals."""

import math
import random
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import tiny_models
import torch
from completion_texts import texts

from patientdx.errors import ModelError
from patientdx.models import ModelSettings
from patientdx.models.settings import DEFAULTS
from patientdx.models.torch import answer_scoring, prefill
from patientdx.models.torch.model import HfModel
from patientdx.protocols import Chooser, GenerationSettings, Prompt

ANSWERS = (
    (" yes", "yes", "Yes", " dead", "dead", "1", " 1"),
    (" no", "no", "No", " alive", "survived", " survived", "0", " 0"),
)
RAW = ModelSettings(prompt_format="raw")


@pytest.fixture(scope="module")
def net() -> Any:
    torch.set_num_threads(1)
    return tiny_models.model()


@pytest.fixture(scope="module")
def words() -> Any:
    return tiny_models.tokenizer()


def wrapped(net: Any, words: Any, settings: ModelSettings = DEFAULTS, **options: Any) -> HfModel:
    return HfModel.wrap(net, words, digest="tiny", settings=settings, **options)


def prompts(count: int, seed: int = 0, most: int = 40) -> list[Prompt]:
    chance = random.Random(seed)
    vocabulary = tiny_models.WORDS.split()
    notes = [" ".join(chance.choices(vocabulary, k=chance.randint(1, most))) for _ in range(count)]
    return [Prompt("Record: ", note, " Dead? Answer (yes or no):") for note in notes]


def chosen(model: Any, inputs: Any, answers: Any = ANSWERS, new: int = 2) -> list[Any]:
    results: dict[int, Any] = {}
    for batch in model.choose(inputs, answers, new):
        assert not batch.keys() & results.keys()
        results |= batch
    return [results[place] for place in range(len(inputs))]


def by_full_softmax(model: HfModel, prompt: Prompt, forms: Any) -> float:
    """Each form by a pass of its own over the whole text, and log-softmax over everything."""
    question = model.tokenizer.encode_prompt(prompt, 8)[0]
    encoded = sorted(set(model.tokenizer.encode_answers(prompt, forms)))
    encoded = [
        form for form in encoded
        if not any(form != prefix and form[: len(prefix)] == prefix for prefix in encoded)
    ]  # fmt: skip
    total = 0.0
    for form in encoded:
        with torch.no_grad():
            tokens = torch.tensor([[*question, *form]])
            logs = model.module(tokens).logits[0].log_softmax(-1)
        places = range(len(question) - 1, len(question) - 1 + len(form))
        total += math.exp(sum(float(logs[at, token]) for at, token in zip(places, form)))  # noqa: B905
    return math.log(total)


def check(model: HfModel, inputs: list[Prompt], *, new: int = 2) -> None:
    results = chosen(model, inputs, new=new)
    replies = texts(model.generate(inputs, GenerationSettings(max_new_tokens=new)))
    for prompt, choice, reply in zip(inputs, results, replies, strict=True):
        expected = [by_full_softmax(model, prompt, forms) for forms in ANSWERS]
        assert choice.logprobs == pytest.approx(expected, abs=1e-4)
        assert choice.reply == reply
        assert (choice.tokens, choice.cut) == (
            len(model.tokenizer.encode_prompt(prompt, 8)[0]),
            False,
        )


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("settings", ["auto", "raw"])
def test_a_batch_is_what_a_full_softmax_gives(
    net: Any, words: Any, batch: int, settings: Any
) -> None:
    model = wrapped(net, words, ModelSettings(batch=batch, prompt_format=settings))
    assert isinstance(model, Chooser)
    check(model, prompts(17))
    assert list(model.choose([], ANSWERS)) == []


@pytest.mark.parametrize("new", [1, 5])
def test_replies_of_other_lengths_come_from_the_same_pass(net: Any, words: Any, new: int) -> None:
    check(wrapped(net, words, RAW), prompts(9, seed=2), new=new)


def test_the_head_sees_one_column_a_row(net: Any, words: Any) -> None:
    seen: list[int] = []
    handle = net.lm_head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[1]))
    try:
        chosen(wrapped(net, words, RAW), prompts(2))
    finally:
        handle.remove()
    prompt = prompts(1)[0]
    known = wrapped(net, words, RAW).tokenizer
    forms = {form for group in ANSWERS for form in known.encode_answers(prompt, group)}
    beginnings = {form[:at] for form in forms for at in range(1, len(form))}
    assert seen[0] == 1  # the prompts
    assert 1 < seen[1] <= len(beginnings) + 1  # all beginnings of forms, and the row's own token
    assert len(seen) == 2
    assert not net.lm_head._forward_pre_hooks


@pytest.mark.parametrize("window", [8, None])
def test_a_window_of_attention_is_kept(
    words: Any, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_scoring, "_COLUMNS_ON_CPU", 60)
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    inputs = prompts(9)
    check(wrapped(MistralForCausalLM(config).eval(), words, RAW), [*inputs, *inputs[:4]])


def test_step_by_step_gives_what_a_tree_gives(
    net: Any, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of attention that takes no mask of ours."""
    monkeypatch.setattr(prefill, "MASKED", frozenset())
    monkeypatch.setattr(prefill.PromptBatch, "_process_tree", lambda *_: pytest.fail("as a tree"))
    check(wrapped(net, words, RAW), prompts(9))
    check(wrapped(net, words, RAW), prompts(5), new=4)


def test_models_with_a_state_answer_one_by_one(words: Any) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(1)
    config = MambaConfig(
        vocab_size=len(words), hidden_size=32, state_size=4, num_hidden_layers=2, eos_token_id=2
    )
    check(wrapped(MambaForCausalLM(config).eval(), words, RAW), prompts(3, most=6))


def test_batches_hold_so_many_columns(
    net: Any, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_scoring, "_COLUMNS_ON_CPU", 100)
    monkeypatch.setattr(answer_scoring, "_CACHED_COLUMNS_ON_CPU", 300)
    model, inputs = wrapped(net, words, RAW), prompts(30)
    sizes = []
    lengths = [len(model.tokenizer.encode_prompt(prompt, 2)[0]) for prompt in inputs]
    before = 10_000
    for batch in model.choose(inputs, ANSWERS):
        widest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or len(batch) * widest <= 300
        assert widest <= before
        before = min(lengths[place] for place in batch)
        sizes.append(len(batch))
    assert sum(sizes) == 30
    assert len(set(sizes)) > 1


@pytest.mark.parametrize("new", [2, 4])
def test_batches_that_are_read_apart_share_what_follows(
    net: Any, words: Any, monkeypatch: pytest.MonkeyPatch, new: int
) -> None:
    """A pass a part, one for all that follows, and nothing depends on how it was split."""
    model, inputs = wrapped(net, words, RAW), prompts(9, seed=3)
    inputs += [inputs[0], Prompt("Record: "), inputs[0]]  # equal ones, and the beginning of others
    whole = chosen(model, inputs, new=new)
    monkeypatch.setattr(answer_scoring, "_COLUMNS_ON_CPU", 60)
    widths: list[int] = []
    handle = net.lm_head.register_forward_hook(lambda _m, _i, out: widths.append(len(out)))
    try:
        results = chosen(model, inputs, new=new)
    finally:
        handle.remove()
    assert len(inputs) in widths
    assert len(widths[: widths.index(len(inputs))]) > 1
    for choice, other in zip(results, whole, strict=True):
        assert choice.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert choice[1:] == other[1:]
    check(model, inputs[:9], new=new)
    check(model, inputs[:1], new=new)


def test_less_memory_makes_smaller_batches(
    net: Any, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    whole = chosen(wrapped(net, words, RAW), prompts(9))
    real = answer_scoring.AnswerScorer._score_batch

    def small(self: Any, inputs: Any) -> Any:
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(self, inputs)

    monkeypatch.setattr(answer_scoring.AnswerScorer, "_score_batch", small)
    results = chosen(wrapped(net, words, RAW, warn=said.append), prompts(9))
    assert [choice.reply for choice in results] == [choice.reply for choice in whole]
    for choice, other in zip(results, whole, strict=True):
        assert choice.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert len(said) == 2
    monkeypatch.setattr(answer_scoring.AnswerScorer, "_score_batch", lambda *_: _no_memory())
    with pytest.raises(ModelError, match="memory does not hold"):
        chosen(wrapped(net, words, RAW), prompts(3))


def _no_memory() -> Any:
    raise torch.OutOfMemoryError("no memory")


def test_a_long_record_loses_the_middle_of_its_long_sections(net: Any, words: Any) -> None:
    model = wrapped(net, words, ModelSettings(prompt_format="raw", context=120))
    short, long = "Short one stays. ", "begin " + "the patient has pain " * 60 + "end. "
    prompt = Prompt("Record: ", short + long, " Dead?", (short, long))
    (results,) = chosen(model, [prompt])
    assert results.cut
    assert 80 < results.tokens <= 118
    longest = max(
        len(form) for group in ANSWERS for form in model.tokenizer.encode_answers(prompt, group)
    )
    text = model.tokenizer.decode(model.tokenizer.encode_prompt(prompt, longest)[0])
    assert text.startswith(f"Record: {short}begin the patient")
    assert text.endswith("end.  Dead?")
    assert "…" in text
    expected = by_full_softmax(wrapped(net, words, RAW), Prompt(note=text), ANSWERS[0])
    assert results.logprobs[0] == pytest.approx(expected, abs=1e-4)


def test_answers_that_cannot_be_distinguished_are_refused(net: Any, words: Any) -> None:
    model = wrapped(net, words, RAW)
    for answers in ((("yes",), ("yes", "no")), ((" y",), (" yes",))):
        with pytest.raises(ModelError, match="two answers begin with the same"):
            list(model.choose(prompts(1), answers))
    with pytest.raises(ModelError, match="needs a surface form"):
        list(model.choose(prompts(1), (("yes",), ())))


def test_probabilities_of_all_first_tokens_are_one(net: Any, words: Any) -> None:
    """Every token of the vocabulary as a form of one answer or the other."""
    model = wrapped(net, words, RAW)
    texts = [words.decode([token]) for token in range(4, len(words))]
    texts = [text for text in texts if text and "\ufffd" not in text]
    (results,) = chosen(model, prompts(1), (texts[::2], texts[1::2]))
    assert sum(math.exp(value) for value in results.logprobs) <= 1 + 1e-6
