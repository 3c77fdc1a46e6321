"""What a server is asked when its model is opened, and prompts that it finds too long."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from completion_texts import texts
from fault_server import CHAT, FAST, PLAIN, SECRET, Answer, Script, failure, reply, serving

from patientdx.errors import ModelError, ReplyError
from patientdx.http_client import parse_retry_after
from patientdx.models.http.refusals import read_refusal
from patientdx.models.http.server import ServerModel
from patientdx.models.settings import ModelSettings
from patientdx.protocols import Completion, GenerationSettings, Prompt

SHORT = GenerationSettings(max_new_tokens=50)
LONG = Prompt("Words of: ", "gout " * 2000, "Answer:")


def connected(url: str, settings: ModelSettings = FAST, **options: Any) -> ServerModel:
    return ServerModel.connect(url, settings, sleep=lambda _: None, **options)


def question(body: Any) -> str:
    return str(body["messages"][0]["content"])


def words(body: Any) -> int:
    return len(question(body).split())


def too_long(body: Any = None, **fields: Any) -> Answer:
    """vLLM's refusal, which quotes the prompt here."""
    del body
    message = f"This model's maximum context length is 1000 tokens. {SECRET}"
    return Answer({"object": "error", "message": message, "code": 400, **fields}, 400)


# Prompts that are too long ------------------------------------------------------------------------


def with_template(most: int, added: int = 100) -> Callable[[Any], Answer]:
    """A server whose template adds tokens; a token is a word."""

    def answer(body: Any) -> Answer:
        fits = words(body) + added + body["max_tokens"] <= most
        return reply(f"<{question(body)}>") if fits else too_long()

    return answer


def test_a_prompt_that_is_too_long_is_cut_again_and_changes_no_other() -> None:
    script = Script(with_template(1000), max_model_len=1000)
    script.paths["/tokenize"] = lambda body: Answer({"tokens": [0] * len(body["prompt"].split())})
    with serving(script) as url:
        completions = connected(url, ModelSettings(batch=1)).generate([LONG, "short", LONG], SHORT)
        alone = connected(url).generate([LONG], SHORT)
    assert script.bodies(PLAIN) == []
    assert completions[1].text == "<short>"
    assert completions[0] == completions[2] == alone[0]
    assert completions[0].truncated
    assert completions[0].text.startswith("<Words of: gout")
    assert completions[0].text.endswith("Answer:>")
    assert len(completions[0].text.split()) > 0.75 * (1000 - 100 - 50)


def test_a_context_is_learnt_from_the_refusal() -> None:
    script = Script(with_template(1000, 0))
    with serving(script) as url:
        (completion,) = connected(url).generate([LONG], SHORT)
    assert completion.truncated
    assert not completion.unchecked
    assert len(script.bodies(CHAT)) == 2


def test_a_prompt_that_stays_too_long_fails_alone() -> None:
    script = Script(lambda body: too_long() if words(body) > 5 else reply("ok"))
    with serving(script) as url:
        model = connected(url, ModelSettings(batch=1))
        with pytest.raises(ReplyError, match="400") as raised:
            model.generate(["a", LONG, "b"], SHORT)
        assert texts(model.generate(["c"])) == ["ok"]
    assert script.bodies(PLAIN) == []
    assert [completion and completion.text for completion in raised.value.completions] == [
        "ok",
        None,
        "ok",
    ]
    assert "--context" in str(raised.value.hint)
    assert raised.value.concerns_prompt
    assert SECRET not in f"{raised.value} {raised.value.hint} {raised.value.__cause__}"


def test_a_question_that_does_not_fit_fails_alone() -> None:
    script = Script(lambda _: reply("ok"), max_model_len=300)
    with serving(script) as url, pytest.raises(ReplyError, match="question alone") as raised:
        connected(url).generate(["a", Prompt("why " * 1000, "note", "?")], SHORT)
    assert raised.value.completions[0] is not None


@pytest.mark.parametrize(
    ("status", "message", "context"),
    [
        (400, "This model's maximum context length is 4096 tokens. You requested 5000", 4096),
        (400, "request (9412 tokens) exceeds the available context size (8192 tokens)", 8192),
        (400, '{"type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":2048}', 2048),
        (400, "The input (5000 tokens) is longer than the model's context length (4096)", 4096),
        (400, "loaded with context length of only 4096 tokens, which is not enough", 4096),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", 4096),
        (400, '{"error":{"code":"context_length_exceeded"}}', None),
        (400, "prompt is too long", None),
        (413, "", None),
        (500, "the context window is full", None),
    ],
)
def test_refusals_of_long_prompts_are_recognised(
    status: int, message: str, context: int | None
) -> None:
    assert read_refusal(status, message.encode()) == (True, context)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "unknown field"),
        (401, "too long"),
        (429, "too many tokens"),
        (503, "context"),
        (400, ""),
    ],
)
def test_other_refusals_are_not_taken_for_long_prompts(status: int, message: str) -> None:
    assert read_refusal(status, message.encode()) == (False, None)


# Servers that cut prompts themselves --------------------------------------------------------------


def reading(most: int) -> Callable[[Any], Answer]:
    """A server that reads the last words of a prompt, and says how many in its usage."""

    def answer(body: Any) -> Answer:
        usage = {"prompt_tokens": min(words(body), most), "completion_tokens": 1}
        return Answer({"choices": [{"message": {"content": question(body)}}], "usage": usage})

    return answer


def test_a_prompt_that_was_cut_by_the_server_is_sent_again_shorter() -> None:
    warnings: list[str] = []
    script = Script(reading(1500))
    with serving(script) as url:
        model = connected(url, warn=warnings.append)
        completions = model.generate([LONG, "short", LONG], SHORT)
    assert [completion.truncated for completion in completions] == [True, False, True]
    assert completions[0].text.startswith("Words of: gout")
    assert words(script.bodies()[1]) < 1500
    assert [warning for warning in warnings if "read 1,500 tokens" in warning] == [warnings[-1]]
    assert "--context 1500" in warnings[-1]


def test_a_context_that_is_named_is_kept_to() -> None:
    script = Script(reading(1500))
    with serving(script) as url:
        (completion,) = connected(url, ModelSettings(context=1500)).generate([LONG], SHORT)
    assert completion.truncated
    assert not completion.unchecked
    assert len(script.bodies()) == 1


def test_prompts_of_unknown_fit_are_counted() -> None:
    with serving(Script(lambda _: reply("ok"))) as url:
        completions = connected(url).generate([LONG, "short"], SHORT)
    assert [completion.unchecked for completion in completions] == [True, False]


def test_a_count_of_tokens_that_makes_no_sense_is_an_error() -> None:
    with serving(Script(reading(3))) as url, pytest.raises(ReplyError, match="read 3 tokens"):
        connected(url).generate([LONG], SHORT)


# What servers are asked ---------------------------------------------------------------------------


def test_ollama_names_its_context_and_is_kept_from_thinking() -> None:
    script = Script(reading(4096), owned_by="library")
    script.models[0]["id"] = "qwen3:latest"
    script.paths["/api/show"] = lambda _: Answer({"capabilities": ["completion", "thinking"]})
    loaded = {"models": [{"name": "qwen3:latest", "context_length": 4096}]}
    script.paths["/api/ps"] = lambda _: Answer(loaded)
    with serving(script) as url:
        model = connected(f"{url}#qwen3")
        (completion,) = model.generate(["a"], SHORT)
    assert model.name == "qwen3:latest"
    assert not completion.unchecked
    assert script.bodies()[0]["reasoning_effort"] == "none"


def test_half_a_context_is_what_ollama_leaves_of_a_longer_prompt() -> None:
    script = Script(owned_by="library")
    loaded = {"models": [{"name": "tiny", "context_length": 4096}]}
    script.paths["/api/ps"] = lambda _: Answer(loaded)

    def answer(body: Any) -> Answer:
        tokens = 2 * words(body)
        usage = {"prompt_tokens": tokens if tokens < 3500 else 2050}
        return Answer({"choices": [{"message": {"content": question(body)}}], "usage": usage})

    script.paths[CHAT] = answer
    with serving(script) as url:
        (completion,) = connected(url).generate([Prompt("Q: ", "gout " * 1760, "?")], SHORT)
    assert completion.truncated
    assert completion.text.startswith("Q: gout")


def test_a_model_of_ollama_that_does_not_think_is_asked_nothing_more() -> None:
    script = Script(lambda _: reply("ok"), owned_by="library")
    script.paths["/api/show"] = lambda _: Answer({"capabilities": ["completion"]})
    plain = Script(lambda _: reply("ok"), owned_by="library")
    with serving(script) as url:
        connected(url).generate(["a"])
    with serving(plain) as url:
        connected(url).generate(["a"])
    assert "reasoning_effort" not in script.bodies()[0]
    assert script.bodies() == plain.bodies()


def test_lm_studio_names_the_context_of_a_loaded_model() -> None:
    script = Script(lambda body: reply(question(body)), owned_by="organization_owner")
    entries = [{"id": "tiny", "max_context_length": 131072, "loaded_context_length": 900}]
    script.paths["/api/v0/models"] = lambda _: Answer({"data": entries})
    with serving(script) as url:
        (completion,) = connected(url).generate([LONG], SHORT)
    assert completion.truncated
    assert not completion.unchecked


def llamacpp(template: str) -> Script:
    """A server of llama.cpp: its properties, and its template rendered."""
    script = Script(lambda body: reply(question(body)), owned_by="llamacpp")
    props = {"default_generation_settings": {"n_ctx": 900}, "chat_template": template}
    script.paths["/props"] = lambda _: Answer(props)

    def render(body: Any) -> Answer:
        options = body.get("chat_template_kwargs", {})
        off = "enable_thinking" in template and options.get("enable_thinking") is False
        return Answer({"prompt": f"<user>{question(body)}<model>{'<think></think>' * off}"})

    script.paths["/apply-template"] = render
    script.paths["/tokenize"] = lambda body: Answer({"tokens": [0] * len(body["content"].split())})
    return script


def test_llamacpp_names_its_context_and_its_template() -> None:
    script, other = llamacpp("{{ enable_thinking }}"), llamacpp("{{ messages }}")
    with serving(script) as url:
        model = connected(url)
        (completion,) = model.generate([LONG], SHORT)
    assert completion.truncated
    assert script.bodies()[0]["chat_template_kwargs"] == {"enable_thinking": False}
    with serving(other) as url:
        connected(url).generate(["a"])
    assert "chat_template_kwargs" not in other.bodies()[0]


def vllm(tail: list[str], *, switch: bool = False, chat: bool = True) -> Script:
    """A server of vLLM: chats in tokens, whose last ones are `tail`."""
    script = Script(lambda body: reply(question(body)), owned_by="vllm", max_model_len=900)

    def tokenize(body: Any) -> Answer:
        if "messages" not in body:
            return Answer({"tokens": [0] * len(body["prompt"].split())})
        if not chat:
            return failure(400)
        off = switch and "chat_template_kwargs" in body
        strings = ["<user>", "Hello", *(["<model>"] if off else tail)]
        return Answer({"tokens": [0] * len(strings), "token_strs": strings})

    script.paths["/tokenize"] = tokenize
    script.probe = lambda _: failure(400) if not chat else reply("ok")
    return script


def test_vllm_s_thinking_is_switched_off_where_the_template_has_a_switch() -> None:
    with serving(script := vllm(["<model>", "<think>", "Ċ"], switch=True)) as url:
        model = connected(url)
        model.generate(["a"])
    options = script.bodies()[0]["chat_template_kwargs"]
    assert options["enable_thinking"] is False
    assert script.probes == []  # the tokens of a chat said it all


def test_thoughts_that_a_template_opens_are_marked_where_they_are_cut() -> None:
    script = vllm(["<model>", "<think>", "Ċ"])
    choices: list[tuple[str, str]] = [("Okay, the user", "length"), ("lupus", "stop")]
    script.paths[CHAT] = lambda body: Answer(
        {
            "choices": [
                {
                    "message": {"content": choices[int(question(body))][0]},
                    "finish_reason": choices[int(question(body))][1],
                }
            ]
        }
    )
    with serving(script) as url:
        replies = texts(connected(url).generate(["0", "1"]))
    assert replies == ["<think>Okay, the user", "lupus"]


def test_a_model_of_vllm_without_a_template_gets_plain_prompts() -> None:
    script = vllm([], chat=False)
    script.paths[PLAIN] = lambda body: Answer({"choices": [{"text": body["prompt"].upper()}]})
    with serving(script) as url:
        assert texts(connected(url).generate(["a"])) == ["A"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_another_key_is_refused_when_it_is_opened(status: int) -> None:
    script = Script(lambda _: reply("ok"))
    script.probe = lambda _: failure(status)
    with serving(script) as url, pytest.raises(ModelError, match=str(status)) as raised:
        connected(url)
    assert "API key" in str(raised.value.hint)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_when_it_is_opened_is_taken_to_take_chats(status: int) -> None:
    script = Script(lambda _: reply("ok"))
    script.probe = lambda _: failure(status)
    with serving(script) as url:
        assert texts(connected(url).generate(["a"])) == ["ok"]
    assert script.bodies(PLAIN) == []


# Lists of models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"object": "list", "data": None}, {"data": []}, []])
def test_a_server_without_models_is_told_apart_from_nonsense(answer: Any) -> None:
    script = Script()
    script.paths["/v1/models"] = lambda _: Answer(answer)
    with serving(script) as url, pytest.raises(ModelError, match="has 0 models"):
        connected(url)


def test_lists_of_other_shapes_are_read() -> None:
    script = Script(lambda _: reply("ok"))
    script.paths["/v1/models"] = lambda _: Answer([{"id": "a", "context_window": 900}, {"id": "a"}])
    with serving(script) as url:
        assert connected(url).name == "a"
    script.paths["/v1/models"] = lambda _: Answer(b"", 404)
    with serving(script) as url:
        assert connected(f"{url}#mine").name == "mine"
        with pytest.raises(ModelError, match="404"):
            connected(url)


# Replies ------------------------------------------------------------------------------------------


def chat_reply(finish: str | None = None, **message: Any) -> Answer:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish}
    return Answer({"choices": [choice]})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (chat_reply(content="lupus", reasoning_content="Okay"), "lupus"),
        (chat_reply("length", content="lupus", reasoning="Okay"), "lupus"),
        (chat_reply("length", content=None, reasoning_content="Okay"), "<think>Okay"),
        (chat_reply("length", content="", reasoning="Okay"), "<think>Okay"),
        (chat_reply(reasoning="Okay"), "<think>Okay"),
        (chat_reply(content=None, reasoning=None), ""),
        (chat_reply(content=[{"type": "text", "text": "lupus"}]), "lupus"),
        (
            chat_reply(
                content=[
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Okay"}]},
                    {"type": "text", "text": "lupus"},
                ]
            ),
            "lupus",
        ),
        (
            chat_reply(content=[{"type": "thinking", "thinking": [{"text": "Okay"}]}]),
            "<think>Okay",
        ),
    ],
)
def test_thoughts_apart_from_the_text_are_no_answer(answer: Answer, text: str) -> None:
    with serving(Script(lambda _: answer)) as url:
        assert texts(connected(url).generate(["a"])) == [text]


def test_a_model_that_was_seen_thinking_is_taken_to_think_where_it_was_cut() -> None:
    def answer(body: Any) -> Answer:
        if question(body) == "cut":
            return chat_reply("length", content="Okay, the user")
        return chat_reply("stop", content="Okay. </think>lupus")

    with serving(Script(answer)) as url:
        model = connected(url)
        assert texts(model.generate(["cut"])) == ["Okay, the user"]  # it may be the answer
        both = ["<think>Okay, the user", "Okay. </think>lupus"]
        assert texts(model.generate(["cut", "whole"])) == both


def events(*chunks: Any) -> Answer:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks[:-1]]
    return Answer("".join([*lines, f"data: {chunks[-1]}\n\n"]).encode())


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": fields, "finish_reason": finish}]}


def test_an_answer_that_is_streamed_unasked_is_joined() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    stream = events(
        delta(role="assistant", reasoning_content="Okay"),
        delta(content="lupus, "),
        delta("length", content="nephritis"),
        usage,
        "[DONE]",
    )
    with serving(Script(lambda _: stream)) as url:
        (completion,) = connected(url).generate(["a"])
    assert completion == Completion("lupus, nephritis", 3, 2, stop_reason="length")


@pytest.mark.parametrize(
    "stream",
    [events(delta(content="lup"), "{"), events(delta(content="lup"), json.dumps(delta()))],
)
def test_a_stream_that_is_cut_off_is_no_answer(stream: Answer) -> None:
    script = Script(lambda _: stream)
    with serving(script) as url, pytest.raises(ReplyError, match="cannot be understood"):
        connected(url).generate(["a"])


def test_retry_after_may_be_a_date() -> None:
    assert parse_retry_after("7", 30) == 7
    assert parse_retry_after("0.5", 30) == 0.5
    assert parse_retry_after("120", 30) == 30
    assert parse_retry_after("Wed, 21 Oct 2037 07:28:00 GMT", 30) == 30
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 30) is None
    for nonsense in ("", "soon", "-3", "nan"):
        assert parse_retry_after(nonsense, 30) is None
