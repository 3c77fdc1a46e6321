"""What language models write before they answer: how it is marked, and the answer without it.

Models mark their thoughts by tags (`<think>`, `[THINK]`, `<unused94>`), by channels (gpt-oss) or by
headings ("## Final Response"). A chat template may open the thoughts itself, so that a reply holds
the closing mark only; a reply that ends early may lack that too.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TAGS = (
    ("<think>", "</think>"),  # Qwen, DeepSeek, SmolLM3, GLM, Nemotron, Phi, OLMo and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # EXAONE
    ("<reasoning>", "</reasoning>"),  # Reka
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ("<unused94>", "<unused95>"),  # MedGemma
    ("<|channel>", "<channel|>"),  # Gemma 4
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
)
_OPENING = {opening.casefold() for opening, _ in _TAGS}
_CHANNEL, _FINAL_CHANNEL, _MESSAGE, _END = "<|channel|>", "final", "<|message|>", "<|end|>"
MARKERS = (
    *(tag for pair in _TAGS for tag in pair),
    *(_CHANNEL, _MESSAGE, _END, "<|start|>", "<|constrain|>"),
)
"""Marks that a backend must leave in a reply, although some tokenizers count them as special."""

UNFINISHED = "<think>"
"""Stands before a reply that holds thoughts only, where the model or its server left no mark."""

_TAG = re.compile("|".join(re.escape(tag) for pair in _TAGS for tag in pair), re.IGNORECASE)
_CHANNEL_HEADER = re.compile(
    r"<\|channel\|>\s{0,9}(\w{1,40})[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# gpt-oss after a program that drops special tokens: "analysisWe need ...assistantfinalkeywords".
_BARE_CHANNELS = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z\"'“(])")
_BARE_FINAL = "assistantfinal"
_ANSWER_HEADING = re.compile(
    r"^[ \t]*(?:#+[ \t]*Final[ ]Response|Here[ ]is[ ]my[ ]response)\b[ \t]*[:*]*", re.MULTILINE
)
_THOUGHT_HEADING = re.compile(r"\s*(?:#+[ \t]*Thinking\b|Here is my thought process:)")


class Reply(NamedTuple):
    """The answer in a reply; `is_unfinished` where the model wrote thoughts and no answer."""

    answer: str
    is_unfinished: bool


def split_thinking(text: str) -> Reply:
    """The answer in a reply, without the thoughts before or around it.

    Takes time linear in the length of the reply, whatever tags it repeats.
    """
    answer = _drop_headed_thoughts(_drop_channels(_drop_tagged_thoughts(text)))
    return Reply(answer, is_unfinished=bool(text.strip()) and not answer.strip())


def opened_thoughts(rendered_prompt: str) -> str:
    """The opening mark with which a rendered prompt ends; empty where it ends otherwise."""
    tail = rendered_prompt[-200:].rstrip()
    for tag in _TAG.finditer(tail):
        after = tail[tag.end() :].strip().casefold()
        if tag.group().casefold() in _OPENING and after in {"", "thought"}:
            return tag.group()
    for header in _CHANNEL_HEADER.finditer(tail):
        if header.end() == len(tail) and header[1] != _FINAL_CHANNEL:
            return header.group()
    return ""


def _drop_tagged_thoughts(text: str) -> str:
    parts: list[str] = []
    position, is_open = 0, False
    for tag in _TAG.finditer(text):
        if tag.group().casefold() in _OPENING:
            parts += [] if is_open else [text[position : tag.start()]]
            is_open = True
        else:
            parts = parts if is_open else []  # a lone closing tag: all before it are thoughts
            is_open = False
        position = tag.end()
    return " ".join(parts if is_open else [*parts, text[position:]])


def _drop_channels(text: str) -> str:
    """The messages of the channel `final`; a text without channels is left as it is."""
    if _CHANNEL in text:
        return "\n".join(_final_messages(text))
    if _BARE_CHANNELS.match(text):
        return text.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in text else ""
    return text


def _final_messages(text: str) -> Iterator[str]:
    for header in _CHANNEL_HEADER.finditer(text):
        if header[1] == _FINAL_CHANNEL:
            end = _MESSAGE_END.search(text, header.end())
            yield text[header.end() : end.start() if end else len(text)]


def _drop_headed_thoughts(text: str) -> str:
    headings = list(_ANSWER_HEADING.finditer(text))
    if headings:
        return text[headings[-1].end() :]
    return "" if _THOUGHT_HEADING.match(text) else text
