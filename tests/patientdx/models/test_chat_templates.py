"""Chat templates in process: thinking is switched off, and a failure stays with its prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from patientdx.models.chat_templates import template_options

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import tiny_models
from completion_texts import texts

from patientdx.errors import ModelError, ReplyError
from patientdx.models import ModelSettings, open_model
from patientdx.models.settings import DEFAULTS
from patientdx.models.tokenizer import PromptTokenizer
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings

SECRET = "Zaphodine"
SHORT = GenerationSettings(max_new_tokens=8)
RAISING = "{{ raise_exception('a system message is required') }}"
SELECTIVE = (
    "{% if 'Zaphodine' in messages[0]['content'] %}{{ raise_exception('no ' + "
    "messages[0]['content']) }}{% endif %}" + tiny_models.TEMPLATE
)
SWITCHED = tiny_models.TEMPLATE + (
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)
OPENING = tiny_models.TEMPLATE + "<think>\n"


@pytest.fixture(scope="module")
def net() -> Any:
    return tiny_models.model()


def tokenizer(template: str, special: Sequence[str] = ()) -> Any:
    words = tiny_models.tokenizer()
    words.chat_template = template
    if special:
        words.add_special_tokens({"additional_special_tokens": list(special)})
    return words


def prompts_of(template: str, special: Sequence[str] = ()) -> PromptTokenizer:
    return PromptTokenizer(tokenizer(template, special), 256, chat=True)


def wrapped(net: Any, template: str) -> HfModel:
    return HfModel.wrap(net, tokenizer(template), digest="tiny", settings=DEFAULTS)


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("{% if enable_thinking %}x{% endif %}", {"enable_thinking": False}),
        ("{%- if not thinking -%}x{%- endif -%}", {"thinking": False}),
        ("{{ reasoning_effort }}<|channel|>", {"reasoning_effort": "low"}),
        ("{{ reasoning_effort }}", {}),
        ("say enable_thinking to the model {{ messages }}", {}),
        ("", {}),
    ],
)
def test_a_template_is_passed_the_switches_that_it_has(
    template: str, options: dict[str, Any]
) -> None:
    assert template_options(template) == options


def test_thinking_is_switched_off_where_that_changes_the_prompt() -> None:
    assert prompts_of(SWITCHED).render("gout").endswith("<think></think>")
    assert prompts_of(SWITCHED).digest_facts == {"template_options": {"enable_thinking": False}}
    unchanged = tiny_models.TEMPLATE + "{% if thinking %}<think>{% endif %}"
    assert prompts_of(unchanged).digest_facts == {}
    assert prompts_of(unchanged).render("gout") == prompts_of(tiny_models.TEMPLATE).render("gout")


def test_digests_change_with_thinking_alone(net: Any) -> None:
    plain = wrapped(net, tiny_models.TEMPLATE).digest
    assert wrapped(net, "{# thinking #}" + tiny_models.TEMPLATE).digest == plain
    assert len({plain, wrapped(net, SWITCHED).digest, wrapped(net, OPENING).digest}) == 3


def test_a_reply_to_a_template_that_opens_thoughts_begins_with_their_mark(net: Any) -> None:
    opened = texts(wrapped(net, OPENING).generate(["fever"], SHORT))
    assert opened[0].startswith("<think>")
    plain = texts(wrapped(net, tiny_models.TEMPLATE).generate(["fever"], SHORT))
    assert not plain[0].startswith("<think>")


def test_special_tokens_that_mark_thoughts_stay_in_replies() -> None:
    special = ["[THINK]", "[/THINK]", "<|channel|>", "<|message|>", "<|other|>"]
    prompts = prompts_of(tiny_models.TEMPLATE, special)
    text = "[THINK]fever[/THINK]<|other|><|channel|>final<|message|>chills<|im_end|>"
    decoded = prompts.decode(prompts.encode(text))
    assert decoded == "[THINK]fever[/THINK]<|channel|>final<|message|>chills"


@pytest.mark.parametrize(
    ("special", "ends"),
    [(["<|end|>"], True), (["<|end|>", "<|return|>", "<|call|>"], False)],
)
def test_a_message_of_gpt_oss_ends_no_reply(special: list[str], *, ends: bool) -> None:
    prompts = prompts_of(tiny_models.TEMPLATE, special)
    (token,) = prompts.encode("<|end|>", start=False)
    assert (token in prompts.end_tokens(None)) is ends


def test_a_template_that_raises_is_an_error_of_one_sentence(net: Any) -> None:
    with pytest.raises(ReplyError, match="chat template refuses the prompt") as raised:
        wrapped(net, RAISING).generate([f"{SECRET} a", f"{SECRET} b"], SHORT)
    assert raised.value.completions == [None, None]
    assert "--prompt-format raw" in str(raised.value.hint)
    error: BaseException | None = raised.value
    while error is not None:  # what a template raises may quote the prompt
        assert SECRET not in str(error)
        error = error.__cause__
    raw = ModelSettings(prompt_format="raw")
    assert HfModel.wrap(net, tokenizer(RAISING), digest="", settings=raw).generate(["a"], SHORT)


@pytest.mark.parametrize(
    "broken",
    [
        "{{ messages[1]['content'] }}",
        "{{ 1 / 0 }}",
        "{{ messages + 1 }}",
        "{% if %}",
        "{{ x.y.z }}",
    ],
)
def test_a_template_that_is_broken_is_an_error_too(broken: str) -> None:
    with pytest.raises(ModelError, match="chat template"):
        prompts_of(broken).encode_prompt("a", 8)


def test_a_prompt_that_fails_takes_no_other_with_it(net: Any) -> None:
    model = wrapped(net, SELECTIVE)
    alone = texts(model.generate(["fever", "chills"], SHORT))
    with pytest.raises(ReplyError, match="1 of 3 prompts") as raised:
        model.generate(["fever", SECRET, "chills"], SHORT)
    first, failed, last = raised.value.completions
    assert failed is None
    assert [first and first.text, last and last.text] == alone


def gguf(folder: Path, template: str) -> Path:
    """The tiny model with another chat template."""
    words = tokenizer(template)
    return tiny_models.save_gguf(folder / "t.gguf", tiny_models.model(vocabulary=300), words)


@pytest.fixture
def llamacpp(tmp_path: Path) -> Any:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    pytest.importorskip("gguf", reason="the model of these tests is made with the extra hf")

    def opened(template: str) -> Any:
        return open_model(str(gguf(tmp_path, template)), ModelSettings(threads=1, context=256))

    return opened


def test_llamacpp_switches_thinking_off(llamacpp: Any) -> None:
    model = llamacpp(SWITCHED)
    assert model._render("gout").endswith("<think></think>")
    model.close()


def test_llamacpp_marks_thoughts_that_the_template_opens(llamacpp: Any) -> None:
    model = llamacpp(OPENING)
    assert texts(model.generate(["fever"], SHORT))[0].startswith("<think>")
    model.close()


def test_llamacpp_reports_a_template_that_raises(llamacpp: Any) -> None:
    model = llamacpp(SELECTIVE)
    with pytest.raises(ReplyError, match="chat template refuses") as raised:
        model.generate(["fever", SECRET], SHORT)
    assert raised.value.completions[0] is not None
    assert SECRET not in f"{raised.value} {raised.value.hint}"
    model.close()
