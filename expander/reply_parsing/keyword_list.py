"""Parsing a reply as keywords: lists of all kinds, JSON, and prose."""

import json
import re
from collections.abc import Iterator

from patientdx.characters import fold

from .answer import (
    EMPTY_ANSWERS,
    FUNCTION_WORDS,
    HEADING_WORDS,
    all_words,
    extract_answer,
    is_informative,
    is_refusal,
    remove_heading,
    split_heading,
    split_words,
)

MAX_KEYWORDS = 64

_MAX_PHRASE = 6  # words; longer items are prose
_MAX_JSON_TEXTS = 1_000

_BULLET = re.compile(r"^\s*(?:[-*•·–—>#+]+\s*|\(?\d{1,3}[.):](?!\d)\s*|[a-zA-Z][.)]\s+)+")
_ITEM_NUMBER = re.compile(r"(?:^|\s)\(?\d{1,2}[.)]\s+")
_ITEM_END = re.compile(r"[,;|\t\n\r•·()\[\]{}\"“”，、；。،؛।]|[.!?:](?:\s|$)|\s[-–—/]\s|[-=]>")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){1,200})"(?!\s*:)')


def parse_keywords(
    reply: str, prompt: str = "", limit: int = MAX_KEYWORDS, known_text: str = ""
) -> list[str]:
    """The keywords of a reply, at most `limit`, each a word or a short phrase as written.

    Reads lists of all kinds, JSON (even cut off) and prose, which yields single words. Each word
    counts once, however often the model repeats it: it is removed from later phrases. Words of
    `known_text` are removed from all phrases.
    """
    keywords: list[str] = []
    seen = {fold(word) for word in all_words(known_text)}
    answer = extract_answer(reply, prompt)
    for phrase in _phrases(answer):
        if len(keywords) >= limit:
            break
        new_words = _take_new_words(phrase, seen)
        if any(is_informative(word) for word in new_words):
            keywords.append(" ".join(new_words))
    if keywords and _is_cut_off(keywords[-1], answer, seen):
        keywords.pop()
    return keywords


def _is_cut_off(keyword: str, answer: str, seen: set[str]) -> bool:
    """Whether a keyword is the beginning of a known word, cut off by the end of the reply."""
    start = fold(keyword)
    return answer.endswith(keyword) and any(
        word != start and word.startswith(start) for word in seen
    )


def _take_new_words(words: list[str], seen: set[str]) -> list[str]:
    """The words that are not in `seen`, which are added to it."""
    new_words = []
    for word in words:
        if fold(word) not in seen:
            seen.add(fold(word))
            new_words.append(word)
    return new_words


def _phrases(answer: str) -> Iterator[list[str]]:
    """The items of an answer, each as its words; prose as single words."""
    texts = _json_texts(answer)
    lines = answer.splitlines() if texts is None else texts
    for line in lines:
        for part in _ITEM_NUMBER.split(_BULLET.sub("", line)):
            yield from _items(remove_heading(part))


def _items(part: str) -> Iterator[list[str]]:
    if is_refusal(part):
        return
    for item in _ITEM_END.split(part):
        words = split_words(item)
        if fold(" ".join(words)) in EMPTY_ANSWERS or fold(item.strip()) in EMPTY_ANSWERS:
            continue
        if all(fold(word) in HEADING_WORDS for word in words):
            continue
        informative = [word for word in words if is_informative(word)]
        if len(words) > _MAX_PHRASE:
            yield from ([word] for word in informative)
        elif informative:
            yield _trim(words)


def _trim(words: list[str]) -> list[str]:
    """A phrase without function words at its ends; it holds at least one other word."""
    start, end = 0, len(words)
    while fold(words[start]) in FUNCTION_WORDS:
        start += 1
    while fold(words[end - 1]) in FUNCTION_WORDS:
        end -= 1
    return words[start:end]


def _json_texts(answer: str) -> list[str] | None:
    """The strings of an answer that is JSON, even cut off; None for any other answer."""
    text = answer.lstrip()
    heading, rest = split_heading(text)
    if split_words(heading):
        text = rest.lstrip()
    if not text.startswith(("[", "{")):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return _QUOTED.findall(text)[:_MAX_JSON_TEXTS] or None
    return list(_strings_in(value))[:_MAX_JSON_TEXTS]


def _strings_in(value: object) -> Iterator[str]:
    """All strings in a JSON value except member names, in order, without recursion."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, dict):
            stack += reversed(node.values())
