"""Expansion by models that think, give nothing, find prompts too long or cut them, by command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import NOTE, SECRET, Outcome, patientdx, rows
from fault_server import CHAT, PLAIN, Answer, Script, failure, reply, serving

WORDS = {"lupus", "nephritis", "malar rash"}
THOUGHTS = "Okay, the user wants keywords. Maybe dengue or malaria?"
CHANNELS = f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|channel|>final<|message|>"


def expand(cache: Path, url: str, *queries: str, more: tuple[str, ...] = ()) -> Outcome:
    lines = rows(*({"_id": f"q{number}", "text": text} for number, text in enumerate(queries)))
    arguments = ("expand", "keywords", "--queries", "-", "--model", url, *more)
    return patientdx(*arguments, stdin=lines, env={"PATIENTDX_CACHE": str(cache)})


def expanded(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.lines]


def message(finish: str = "stop", **fields: Any) -> Callable[[Any], Answer]:
    choice = {"message": {"role": "assistant", **fields}, "finish_reason": finish}
    return lambda _: Answer({"choices": [choice]})


@pytest.mark.parametrize(
    "content",
    [
        f"{THOUGHTS} </think>\n\nlupus, nephritis, malar rash",
        f"[THINK]{THOUGHTS}[/THINK]lupus, nephritis, malar rash",
        f"{CHANNELS}lupus, nephritis, malar rash",
        f"## Thinking\n\n{THOUGHTS}\n\n## Final Response\n\nlupus, nephritis, malar rash",
        f"<unused94>thought\n{THOUGHTS}<unused95>lupus, nephritis, malar rash",
    ],
)
def test_the_answer_alone_is_added(tmp_path: Path, content: str) -> None:
    with serving(Script(message(content=content))) as url:
        outcome = expand(tmp_path, url, "rash and joint pain")
    (row,) = expanded(outcome)
    assert set(row["weights"]) == WORDS
    assert "1 query expanded" in outcome.err


@pytest.mark.parametrize(
    ("answer", "in_thoughts"),
    [
        (message(content=None, reasoning_content=THOUGHTS), True),
        (message("length", content=f"<think>{THOUGHTS}"), True),
        (message(content=None), False),
        (message(content="None."), False),
    ],
)
def test_a_model_that_gives_nothing_is_reported(
    tmp_path: Path, answer: Callable[[Any], Answer], *, in_thoughts: bool
) -> None:
    script = Script(answer)
    with serving(script) as url:
        for _ in range(2):  # the second time out of the cache
            outcome = expand(tmp_path, url, f"{SECRET} rash")
            (row,) = expanded(outcome)
            assert row["weights"] == {}
            assert "the model gave nothing for 1 query" in outcome.err
            assert ("1 reply ended before an answer" in outcome.err) is in_thoughts
            assert "0 of 1 query expanded" in outcome.err
            assert SECRET not in outcome.err
    assert len(script.bodies()) == 1


def test_expanded_queries_are_those_that_gained_a_word(tmp_path: Path) -> None:
    def answer(body: Any) -> Answer:
        return reply("" if "cough" in body["messages"][0]["content"] else "lupus")

    with serving(Script(answer)) as url:
        outcome = expand(tmp_path, url, "rash", "cough", "joint pain", "rash and cough")
    assert "the model gave nothing for 2 queries" in outcome.err
    assert "2 of 4 queries expanded" in outcome.err


def test_a_search_reports_each_query_once(sample_index: Path, tmp_path: Path) -> None:
    """The query of a search is expanded for its hits and again for display."""
    arguments = ("search", NOTE, "--index", sample_index, "--expand", "keywords", "--model")
    env = {"PATIENTDX_CACHE": str(tmp_path)}
    with serving(Script(message(content=None))) as url:
        outcome = patientdx(*arguments, url, env=env)
    assert "the model gave nothing for 1 query" in outcome.err
    script = Script(lambda _: failure(400))
    with serving(script) as url:
        outcome = patientdx(*arguments, url, env=env)
    assert outcome.code == 0
    assert "1 query went on unexpanded" in outcome.err
    assert outcome.err.count("got no reply") == 1
    assert len(script.bodies()) == 1


def test_a_prompt_that_is_too_long_is_cut_and_no_other_loses_the_template(tmp_path: Path) -> None:
    """A token is a word; the template of the server adds 100, which it does not report."""

    def answer(body: Any) -> Answer:
        words = len(body["messages"][0]["content"].split())
        if words + 100 + body["max_tokens"] <= 1000:
            return reply("lupus, nephritis")
        message = f"the maximum context length is 1000 tokens {SECRET}"
        return Answer({"object": "error", "message": message}, 400)

    script = Script(answer, max_model_len=1000)
    script.paths["/tokenize"] = lambda body: Answer({"tokens": [0] * len(body["prompt"].split())})
    script.paths[PLAIN] = lambda _: Answer({"choices": [{"text": "and so he went home"}]})
    queries = [f"case {number} fever rash " * (15 if number < 5 else 500) for number in range(7)]
    with serving(script) as url:
        outcome = expand(tmp_path, url, *queries)
        again = expand(tmp_path, url, *queries)
    assert all(set(row["weights"]) == {"lupus", "nephritis"} for row in expanded(outcome))
    assert "2 notes cut in the middle" in outcome.err
    assert "7 queries expanded" in outcome.err
    assert script.bodies(PLAIN) == []
    assert len(script.bodies(CHAT)) == 9  # the long ones twice, none again
    assert [row["origin"] for row in expanded(again)] == ["cache"] * 7


def test_a_server_without_chats_is_found_before_any_prompt_is_sent(tmp_path: Path) -> None:
    script = Script(lambda _: failure(404))
    script.probe = lambda _: failure(404)
    script.paths[PLAIN] = lambda _: Answer({"choices": [{"text": "lupus"}]})
    with serving(script) as url:
        outcome = expand(tmp_path, url, "rash")
        assert "takes no chats: prompts are sent without a chat template" in outcome.err
        raw = expand(tmp_path, url, "rash", more=("--prompt-format", "raw"))
    assert [row["origin"] for row in expanded(outcome) + expanded(raw)] == ["model", "cache"]
    assert script.bodies(CHAT) == []


def reading(most: int) -> Callable[[Any], Answer]:
    """A server that reads the last words of a prompt, with no word about it but its usage."""

    def answer(body: Any) -> Answer:
        words = len(body["messages"][0]["content"].split())
        usage = {"prompt_tokens": min(words, most)}
        return Answer({"choices": [{"message": {"content": "lupus"}}], "usage": usage})

    return answer


def test_a_server_that_cuts_prompts_silently_is_reported(tmp_path: Path) -> None:
    script = Script(reading(2048))
    with serving(script) as url:
        outcome = expand(tmp_path, url, "fever and rash " * 1000)
        named = expand(tmp_path, url, "fever and rash " * 1000, more=("--context", "2048"))
    assert "the server read 2,048 tokens of a prompt of 3,0" in outcome.err
    assert "--context 2048" in outcome.err
    for run in (outcome, named):
        assert expanded(run)[0]["weights"] == {"lupus": 1.0}
        assert "1 note cut in the middle" in run.err
    assert "the server read" not in named.err
    sent = script.bodies()[-1]["messages"][0]["content"]
    assert sent.startswith("You are an efficient information retrieval assistant")


def test_prompts_that_could_not_be_checked_are_counted(tmp_path: Path) -> None:
    with serving(Script(lambda _: reply("lupus"))) as url:
        outcome = expand(tmp_path, url, "rash", "fever and rash " * 1000)
        named = expand(tmp_path, url, "fever and rash " * 1000, more=("--context", "99999"))
    assert "1 prompt may be longer than the model's context" in outcome.err
    assert "name it by --context" in outcome.err
    assert "may be longer" not in named.err


def test_a_model_whose_chat_template_raises_leaves_queries_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra hf")
    pytest.importorskip("transformers", reason="needs the extra hf")
    import tiny_models

    folder = tiny_models.save_folder(tmp_path / "raises")
    words = tiny_models.tokenizer()
    words.chat_template = "{{ raise_exception('not: ' + messages[0]['content']) }}"
    words.save_pretrained(folder)
    outcome = expand(tmp_path, str(folder), f"{SECRET} rash", "cough")
    assert [row["origin"] for row in expanded(outcome)] == ["failed", "failed"]
    (warning,) = [line for line in outcome.err.splitlines() if "chat template" in line]
    assert "2 prompts got no reply" in warning
    assert "--prompt-format raw" in warning
    assert "2 queries went on unexpanded" in outcome.err
    assert SECRET not in outcome.err
