"""The answer in a reply: without reasoning, markup, copies of the prompt, and invented turns."""

import re
from collections.abc import Iterator
from functools import cache

from patientdx.characters import extending_class, fold, has_unspaced_script
from patientdx.thinking import split_thinking

_FUNCTION_WORDS = """
a an the of and or to in on at by for with from as is are was were be been being has have had do
does did that this these those which who whom it its they them their he she his her him you your i
my we our can could may might should would will shall not such also than then there here some any
other more most very include includes including
"""
_HEADING_WORDS = """
keyword keywords key synonym synonyms related additional missing relevant suggested symptom symptoms
diagnosis diagnoses condition conditions finding findings treatment treatments passage answer note
output response list terms term here sure certainly following patient profile
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
HEADING_WORDS = frozenset(_HEADING_WORDS.split())
EMPTY_ANSWERS = frozenset({"none", "nothing", "n/a", "na", "nil", "unknown", "etc", "no keywords"})
"""Items that stand for an empty answer, in lower case."""

_MAX_REPLY = 20_000  # characters
_MAX_WORD = 60  # characters
_MIN_ECHO = 5  # this many words in the order of the prompt are a copy, not an answer

_SPECIAL_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,40}\|>(?:(?:assistant|user|system)\b)?|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]|```\w*"
    r"|</?(?:answer|response|output)>"
)
_TURN = re.compile(
    r"^[ \t*#>]*(?:patient|question|query|user|human|assistant|system|instruction)[ \t*]*:",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"[^\n.!?:]+(?:[.!?:](?!\s)[^\n.!?:]+)*[.!?:]*|\n")
_HEADING = re.compile(r"^([^:\n]{1,200}):[*_]*(?=\s|$)")
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m\s+sorry|i\s+am\s+sorry|sorry\b|i\s+can(?:not|['’]?t)|as\s+an\s+ai|"
    r"i\s+do\s+not\s+have|i\s+don['’]?t\s+have|i\s+am\s+not\s+able|i['’]?m\s+not\s+able)",
    re.IGNORECASE,
)


def extract_answer(reply: str, prompt: str) -> str:
    """The answer in a reply, up to the first turn that the model invents."""
    text = split_thinking(reply).answer[:_MAX_REPLY]
    text = _remove_echo(_SPECIAL_TOKEN.sub("\n", text), prompt)
    for turn in _TURN.finditer(text):
        if _word().search(text, 0, turn.start()):
            return _TURN.sub("", text[: turn.start()])
    return _TURN.sub("", text)


def split_words(text: str) -> list[str]:
    """The words of a text as written, without overlong ones.

    A clause of a script without blanks between words is kept as a word.
    """
    return [word for word in all_words(text) if len(word) <= _MAX_WORD or has_unspaced_script(word)]


def all_words(text: str) -> list[str]:
    """Every word of a text as written."""
    return _word().findall(text)


def split_sentences(text: str) -> Iterator[str]:
    """The sentences of a text; a line break is a piece of its own."""
    return (match.group() for match in _SENTENCE.finditer(text))


def remove_heading(line: str) -> str:
    """A line without a heading such as `Keywords:` or `Sure! Here are the keywords:`."""
    stripped = line.lstrip(" *_#")
    heading, rest = split_heading(stripped)
    words = {fold(word) for word in split_words(heading)}
    return rest if words & HEADING_WORDS else line


def split_heading(text: str) -> tuple[str, str]:
    """The part before the first colon of a line, and the rest; ("", text) without a heading."""
    match = _HEADING.match(text)
    return ("", text) if match is None else (match[1], text[match.end() :])


def is_refusal(text: str) -> bool:
    """Whether a text begins with an apology or a refusal."""
    return _REFUSAL.match(text) is not None


def is_informative(word: str) -> bool:
    """Whether a word is neither a function word nor a number."""
    return fold(word) not in FUNCTION_WORDS and not word.isdigit()


@cache
def _word() -> re.Pattern[str]:
    """Letters and digits with their marks, joined by hyphens and apostrophes."""
    word = f"[^\\W_](?:[^\\W_]|[{extending_class()}])*"
    return re.compile(f"{word}(?:['’-]{word})*")


def _remove_echo(text: str, prompt: str) -> str:
    """The text without the sentences that stand word for word in the prompt."""
    normalized_prompt = f" {_normalize(prompt)} "
    if not normalized_prompt.strip():
        return text
    sentences = split_sentences(text)
    return "".join(part for part in sentences if not _is_echo(part, normalized_prompt))


def _is_echo(sentence: str, normalized_prompt: str) -> bool:
    normalized = _normalize(sentence)
    is_long = normalized.count(" ") + 1 >= _MIN_ECHO
    return is_long and f" {normalized} " in normalized_prompt


def _normalize(text: str) -> str:
    return fold(" ".join(all_words(text)))
