"""A server's model: what it is asked, and what it may answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from completion_texts import texts
from fault_server import CHAT, FAST, PLAIN, SECRET, Answer, Script, failure, in_turn, reply, serving

from patientdx.errors import ModelError, ReplyError
from patientdx.models.http.server import ServerModel
from patientdx.models.settings import ModelSettings
from patientdx.protocols import Completion, GenerationSettings, Prompt


def connected(url: str, settings: ModelSettings = FAST, **options: Any) -> ServerModel:
    waits: list[float] = []
    model = ServerModel.connect(url, settings, sleep=waits.append, **options)
    model.waits = waits  # type: ignore[attr-defined]
    return model


def echo(body: Any) -> Answer:
    return reply(f"<{body['messages'][0]['content']}>")


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_replies_come_in_the_order_of_the_prompts(suffix: str) -> None:
    script = Script(echo)
    with serving(script) as url:
        model = connected(url + suffix, ModelSettings(batch=4))
        prompts = [f"prompt {i}" for i in range(20)]
        assert texts(model.generate(prompts)) == [f"<{prompt}>" for prompt in prompts]
        assert texts(model.generate([])) == []
    assert (model.name, model.batch) == ("tiny", 4)
    assert model.digest.startswith("unverified-")


def test_what_a_server_is_asked() -> None:
    script = Script(echo)
    settings = GenerationSettings(max_new_tokens=7, temperature=0.5, seed=3, stop=("#",))
    with serving(script) as url:
        model = connected(url, ModelSettings(api_key="key"))
        model.generate([Prompt("a", "b", "c")])
        model.generate(["x"], settings)
    greedy, sampled = script.bodies()
    assert greedy == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "abc"}],
        "max_tokens": 200,
        "temperature": 0.0,
    }
    assert (sampled["temperature"], sampled["seed"], sampled["top_p"]) == (0.5, 3, 1.0)
    assert (sampled["stop"], sampled["max_tokens"]) == (["#"], 7)
    assert all(headers["Authorization"] == "Bearer key" for headers in script.headers)
    assert "key" not in repr(model._client) + repr(FAST.__class__(api_key="key"))


def test_the_user_is_warned_that_weights_are_not_verified() -> None:
    warnings: list[str] = []
    with serving(Script(echo)) as url:
        first = connected(url, warn=warnings.append)
        assert connected(url, ModelSettings(prompt_format="raw")).digest != first.digest
        assert connected(url).digest == first.digest
    assert "cannot be verified" in warnings[0]


def test_one_of_several_models_is_chosen_by_name() -> None:
    script = Script(echo)
    script.models.append({"id": "other"})
    with serving(script) as url:
        assert connected(f"{url}#other").name == "other"
        assert connected(url, ModelSettings(model="tiny")).name == "tiny"
        with pytest.raises(ModelError, match="has 2 models") as raised:
            connected(url)
        assert "tiny, other" in str(raised.value.hint)
        with pytest.raises(ModelError, match="has no model `none`"):
            connected(f"{url}#none")


def test_a_model_without_a_template_gets_plain_prompts() -> None:
    script = Script(lambda _: failure(400))
    script.probe = lambda _: failure(400)
    script.paths[PLAIN] = lambda body: Answer({"choices": [{"text": body["prompt"].upper()}]})
    with serving(script) as url:
        warnings: list[str] = []
        model = connected(url, warn=warnings.append)
        assert texts(model.generate(["a", "b"])) == ["A", "B"]
        assert script.bodies(CHAT) == []
        assert warnings[-1].endswith("takes no chats: prompts are sent without a chat template")
        assert model.digest == connected(url, replace(FAST, prompt_format="raw")).digest
        with pytest.raises(ReplyError, match="answered 400"):
            connected(url, ModelSettings(prompt_format="chat")).generate(["a"])
        script.paths[CHAT] = echo
        assert texts(connected(url, ModelSettings(prompt_format="raw")).generate(["a"])) == ["A"]


def test_what_passes_is_tried_again() -> None:
    bad = [failure(500), failure(503), failure(429, Retry_After="7")]
    with serving(Script(in_turn(*bad, reply("at last")))) as url:
        model = connected(url)
        assert texts(model.generate([SECRET])) == ["at last"]
    assert model.waits == [1.0, 2.0, 7.0]  # type: ignore[attr-defined]


GARBAGE = [
    Answer(b"\xff\xfe"),
    Answer(b"<html>"),
    Answer(b"[" * 100_000),
    Answer({}),
    Answer([]),
    Answer({"choices": []}),
    Answer({"choices": [{"message": {}}]}),
    reply(7),
    reply([SECRET]),
    Answer(None),
    Answer({"choices": [{"text": SECRET}]}),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_tried_again_and_then_given_up(garbage: Answer) -> None:
    script = Script(lambda body: garbage if SECRET in str(body) else reply("good"))
    with serving(script) as url:
        model = connected(url)
        with pytest.raises(ReplyError, match="cannot be understood") as raised:
            model.generate(["a", SECRET, "b"])
    assert raised.value.completions == [Completion("good"), None, Completion("good")]
    assert "1 of 3 prompts" in raised.value.message
    assert len(script.bodies()) == 2 + FAST.attempts
    assert SECRET not in f"{raised.value} {raised.value.hint} {raised.value.__cause__}"


def test_a_null_reply_is_an_empty_one() -> None:
    with serving(Script(lambda _: reply(None))) as url:
        assert texts(connected(url).generate(["a"])) == [""]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_what_does_not_pass_is_not_tried_again(status: int) -> None:
    script = Script(lambda _: failure(status))
    with serving(script) as url, pytest.raises(ReplyError, match=f"{status}") as raised:
        connected(url, ModelSettings(prompt_format="chat")).generate([SECRET])
    assert len(script.bodies()) == 1
    assert SECRET not in str(raised.value)


def test_after_a_failure_the_next_prompts_do_not_wait() -> None:
    script = Script(lambda _: failure(500))
    with serving(script) as url:
        model = connected(url)
        for _ in range(3):
            with pytest.raises(ReplyError, match=r"answered 500 \(5 of 5 prompts\)"):
                model.generate([SECRET] * 5)
        assert len(script.bodies()) == FAST.attempts + 4 + 5 + 5
        script.paths[CHAT] = in_turn(reply("up"), failure(500), reply("again"))
        assert texts(model.generate(["a", "b"])) == ["up", "again"]


def test_a_server_that_went_down_is_reported() -> None:
    with serving(Script(echo)) as url:
        model = connected(url)
    with pytest.raises(ReplyError, match="cannot be reached") as raised:
        model.generate([SECRET])
    assert raised.value.hint == "is the server running there?"
    with pytest.raises(ModelError, match="cannot be reached"):
        connected(url)


@pytest.mark.parametrize("slow", [{"wait_s": 3.0}, {"drip_s": 0.1}])
def test_a_slow_server_is_given_up(slow: dict[str, float]) -> None:
    body = {"choices": [{"message": {"content": "x" * 200}}]}
    script = Script(lambda _: Answer(body, **slow))  # type: ignore[arg-type]
    with serving(script) as url:
        model = connected(url, ModelSettings(timeout_s=0.4, attempts=2))
        with pytest.raises(ReplyError, match="did not answer in time"):
            model.generate([SECRET])
    assert len(script.bodies()) == 2


@pytest.mark.parametrize(
    ("context", "count"),
    [
        ({"max_model_len": 300}, True),
        ({"meta": {"n_ctx": 300}}, True),
        ({"max_model_len": 300}, False),
    ],
)
def test_a_long_note_is_cut_where_the_context_is_known(context: Any, count: bool) -> None:
    script = Script(echo, **context)
    if count:
        script.paths["/tokenize"] = lambda body: Answer(
            {"tokens": list(range(len(body["prompt"].split())))}
        )
    with serving(script) as url:
        model = connected(url)
        inputs = Prompt("Words of: ", "gout " * 2000, "Answer:")
        (completion,) = model.generate([inputs], GenerationSettings(max_new_tokens=50))
        text = completion.text
        assert completion.truncated
        assert text.startswith("<Words of: gout")
        assert text.endswith("Answer:>")
        room = 300 - 50 - 64
        tokens = len(text.split()) if count else len(text[1:-1].encode()) / 3
        assert 0.9 * room < tokens <= room
        assert not model.generate(["short"])[0].truncated


@pytest.mark.parametrize(
    ("usage", "finish", "expected"),
    [
        (
            {"prompt_tokens": 7, "completion_tokens": 3},
            "length",
            Completion("yes", 7, 3, stop_reason="length"),
        ),
        ({"completion_tokens": 3}, "stop", Completion("yes", None, 3, stop_reason="stop")),
        ({"completion_tokens": "many"}, "tool_calls", Completion("yes")),
        (None, None, Completion("yes")),
    ],
)
def test_a_completion_carries_the_usage_that_the_server_reports(
    usage: Any, finish: Any, expected: Completion
) -> None:
    choice = {"message": {"content": "yes"}, "finish_reason": finish}
    with serving(Script(lambda _: Answer({"choices": [choice], "usage": usage}))) as url:
        assert connected(url).generate(["a"]) == [expected]


def tokenized(body: Any) -> Answer:
    """One token a character, after a 1 for the beginning."""
    begin = [1] if body["add_special_tokens"] else []
    return Answer({"tokens": [*begin, *(ord(character) for character in body["prompt"])]})


def scored(tokens: Callable[[list[int]], list[Any]]) -> Callable[[Any], Answer]:
    def answer(body: Any) -> Answer:
        warnings = tokens(body["prompt"])
        return Answer({"choices": [{"text": "", "logprobs": {"token_logprobs": warnings}}]})

    return answer


def test_a_server_that_echoes_can_score() -> None:
    script = Script()
    script.paths["/tokenize"] = tokenized
    script.paths[PLAIN] = scored(lambda ids: [None, *(-token / 8 for token in ids[1:]), -9.0])
    with serving(script) as url:
        model = connected(url)
        results = model.logprobs([("ab", "cd"), ("ab", ""), ("", "cd")])
    both = [-ord("c") / 8, -ord("d") / 8]
    assert results == [both, [], both]
    assert script.bodies(PLAIN)[0]["echo"] is True


@pytest.mark.parametrize("lacks", ["/tokenize", PLAIN, "echo", "logprobs"])
def test_a_server_that_cannot_score_is_reported(lacks: str) -> None:
    script = Script()
    script.paths["/tokenize"] = tokenized
    script.paths[PLAIN] = scored(lambda _: [-1.0])
    if lacks == "logprobs":
        script.paths[PLAIN] = lambda _: Answer({"choices": [{"text": "x", "logprobs": None}]})
    script.paths.pop(lacks, None)
    with (
        serving(script) as url,
        pytest.raises(ModelError, match="cannot return the probabilities") as raised,
    ):
        connected(url).logprobs([(SECRET, "cd")])
    assert "llamacpp" in str(raised.value.hint)
    assert SECRET not in str(raised.value)


def test_a_text_is_not_scored_after_an_unknown_token() -> None:
    script = Script()
    script.paths["/tokenize"] = lambda body: Answer({"tokens": list(body["prompt"].encode())})
    with serving(script) as url, pytest.raises(ModelError, match="without a prompt"):
        connected(url).logprobs([("", SECRET)])
