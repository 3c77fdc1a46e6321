"""What models think before they answer is no answer, however they mark it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander.reply_parsing.keyword_list import parse_keywords
from expander.reply_parsing.passage import count_passage_words
from patientdx.thinking import MARKERS, UNFINISHED, opened_thoughts, split_thinking

ANSWER = "lupus, nephritis, malar rash"
THOUGHTS = "Okay, the user wants keywords. Maybe dengue or malaria?"
PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<THINK>", "</Think>"),
    ("[THINK]", "[/THINK]"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
]
ANALYSIS = f"<|channel|>analysis<|message|>{THOUGHTS}"
FINAL = "<|channel|>final<|message|>"


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_thoughts_in_a_pair_of_tags_are_dropped(opening: str, closing: str) -> None:
    assert split_thinking(f"{opening}{THOUGHTS}{closing}\n\n{ANSWER}").answer.strip() == ANSWER
    assert parse_keywords(f"{THOUGHTS}{closing}\n\n{ANSWER}") == ANSWER.split(", ")
    cut = split_thinking(f"{opening}{THOUGHTS}")
    assert cut == ("", True)
    assert parse_keywords(f"{opening}{THOUGHTS}") == []
    assert count_passage_words(f"{opening}{THOUGHTS}") == {}


@pytest.mark.parametrize(
    "reply",
    [
        f"{ANALYSIS}<|end|><|start|>assistant{FINAL}{ANSWER}<|return|>",
        f"{ANALYSIS}<|end|><|start|>assistant{FINAL}{ANSWER}",
        f"{ANALYSIS}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{ANSWER}",
        f"{ANALYSIS}<|end|><|channel|>commentary<|message|>I call<|end|>{FINAL}{ANSWER}<|end|>",
        f"analysis{THOUGHTS}assistantfinal{ANSWER}",
        f"## Thinking\n\n{THOUGHTS}\n\n## Final Response\n\n{ANSWER}",
        f"## Thinking\n\n{THOUGHTS}\n\n### Final Response:\n{ANSWER}",
        f"Here is my thought process: {THOUGHTS}\n\nHere is my response: {ANSWER}",
        f"<think>{THOUGHTS}</think><answer>{ANSWER}</answer>",
        f"<think>one</think>\n<think>{THOUGHTS}</think>\n{ANSWER}",
        f"<think><think>one</think>{THOUGHTS}</think>\n{ANSWER}",
        f"<think></think>{ANSWER}",
        ANSWER,
    ],
)
def test_the_answer_alone_becomes_keywords(reply: str) -> None:
    assert parse_keywords(reply) == ANSWER.split(", ")
    assert not split_thinking(reply).is_unfinished


@pytest.mark.parametrize(
    "reply",
    [
        ANALYSIS,
        f"{ANALYSIS}<|end|><|start|>assistant",
        f"{ANALYSIS}<|end|><|start|>assistant<|channel|>final",
        f"analysis{THOUGHTS}",
        f"## Thinking\n\n{THOUGHTS}",
        f"Here is my thought process: {THOUGHTS}",
        f"{UNFINISHED}{THOUGHTS}",
        f"<think>{THOUGHTS}</think>",
    ],
)
def test_a_reply_that_ends_in_thoughts_counts_as_nothing(reply: str) -> None:
    assert split_thinking(reply).is_unfinished
    assert parse_keywords(reply) == []


@pytest.mark.parametrize(
    "reply", ["", " \n", "analysis, dyspnea", "Thinking: dyspnea", "final response to steroids"]
)
def test_a_reply_without_thoughts_is_left_as_it_is(reply: str) -> None:
    assert split_thinking(reply) == (reply, False)


def test_what_stands_before_thoughts_is_answer_too() -> None:
    assert parse_keywords(f"lupus\n<think>{THOUGHTS}") == ["lupus"]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<think>about</think><|im_start|>assistant\n", ""),
        ("[INST]x[/INST][THINK]", "[THINK]"),
        ("<start_of_turn>model\n<unused94>thought\n", "<unused94>"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|start|>assistant<|channel|>final<|message|>", ""),
        ("<|start|>assistant", ""),
        ("", ""),
    ],
)
def test_the_mark_that_a_template_opens_is_found(prompt: str, opened: str) -> None:
    assert opened_thoughts(prompt) == opened


PIECES = st.lists(st.sampled_from([*MARKERS, "final", "analysis", "We", " ", "lupus", "\n"]))


@given(PIECES.map("".join) | st.text())
def test_an_answer_is_never_longer_and_holds_no_tag(reply: str) -> None:
    answer, is_unfinished = split_thinking(reply)
    assert len(answer) <= len(reply) + reply.count("<") + reply.count("[") + reply.count("◁")
    assert not any(tag in answer for tag in ("<think>", "</think>", "[THINK]", "<unused95>"))
    assert is_unfinished == (bool(reply.strip()) and not answer.strip())


@pytest.mark.parametrize("piece", [*MARKERS, "<|channel|>final", "## Thinking\n", " ", "#"])
def test_repeated_marks_are_read_in_linear_time(piece: str) -> None:
    split_thinking(piece * 100_000)
