"""What a language model wrote, as keywords or as the words of a passage.

Small models number, repeat the prompt, loop, invent a second patient, apologise, or write
nothing. Whatever comes, these functions return; what they return is made of words of the reply
and is bounded. No reply can change the query itself: they only say what may be added to it.
"""

import json
import re
from collections.abc import Iterator

MAX_KEYWORDS = 64
MAX_PASSAGE_WORDS = 400
MAX_REPEATS = 3
"""A word of a passage counts no more often than this: a loop is no emphasis."""

_LONGEST_REPLY = 20_000  # characters
_LONGEST_WORD = 60  # characters
_LONGEST_PHRASE = 6  # words; what is longer is prose
_ECHO_WORDS = 5  # words; so many in a row out of the prompt are a copy, not an answer
_MOST_JSON = 1_000  # texts

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>(?:(?:assistant|user|system)\b)?|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]|```\w*"
)
_TURN = re.compile(
    r"^[ \t*#>]*(?:patient|question|query|user|human|assistant|system|instruction)[ \t*]*:",
    re.IGNORECASE | re.MULTILINE,
)
_PIECE = re.compile(r"[^\n.!?:]+(?:[.!?:](?!\s)[^\n.!?:]+)*[.!?:]*|\n")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BULLET = re.compile(r"^\s*(?:[-*•·–—>#+]+\s*|\(?\d{1,3}[.):](?!\d)\s*|[a-zA-Z][.)]\s+)+")
_NUMBER = re.compile(r"(?:^|\s)\(?\d{1,2}[.)]\s+")
_ITEM_END = re.compile(r"[,;|\t\n\r•·()\[\]{}\"“”]|[.!?:](?:\s|$)|\s[-–—/]\s|[-=]>")
_HEAD = re.compile(r"^([^:\n]{1,200}):[*_]*(?=\s|$)")
_HEAD_WORDS = """
keyword keywords key synonym synonyms related additional missing relevant suggested symptom symptoms
diagnosis diagnoses condition conditions finding findings treatment treatments passage answer note
output response list terms term here sure certainly following patient profile
"""
_HEADS = frozenset(_HEAD_WORDS.split())
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){1,200})"(?!\s*:)')
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m\s+sorry|i\s+am\s+sorry|sorry\b|i\s+can(?:not|['’]?t)|as\s+an\s+ai|"
    r"i\s+do\s+not\s+have|i\s+don['’]?t\s+have|i\s+am\s+not\s+able|i['’]?m\s+not\s+able)",
    re.IGNORECASE,
)
_NOTHING = frozenset({"none", "nothing", "n/a", "na", "nil", "unknown", "etc", "no keywords"})
_LITTLE = """
a an the of and or to in on at by for with from as is are was were be been being has have had do
does did that this these those which who whom it its they them their he she his her him you your i
my we our can could may might should would will shall not such also than then there here some any
other more most very include includes including
"""
_FUNCTION_WORDS = frozenset(_LITTLE.split())


def keywords(reply: str, prompt: str = "", limit: int = MAX_KEYWORDS, known: str = "") -> list[str]:
    """The keywords of a reply, at most `limit`, each a word or a short phrase, as written.

    Reads lists of all kinds, JSON (also cut off) and prose, of which single words remain.
    A word counts once, however often the model repeats it: later phrases lose it. So do all
    phrases lose the words of the text `known`.
    """
    found: list[str] = []
    seen = {word.casefold() for word in _WORD.findall(known)}
    answer = _answer(reply, prompt)
    for phrase in _phrases(answer):
        if len(found) >= limit:
            break
        words = _new(phrase, seen)
        if any(_is_telling(word) for word in words):
            found.append(" ".join(words))
    if found and _is_cut(found[-1], answer, seen):
        found.pop()
    return found


def _is_cut(last: str, answer: str, seen: set[str]) -> bool:
    """Whether the last keyword is one word that the end of the reply cut out of a known one."""
    start = last.casefold()
    return answer.endswith(last) and any(word != start and word.startswith(start) for word in seen)


def _is_telling(word: str) -> bool:
    return word.casefold() not in _FUNCTION_WORDS and not word.isdigit()


def _new(words: list[str], seen: set[str]) -> list[str]:
    """The words that were not seen, which they are from now on."""
    new = []
    for word in words:
        if word.casefold() not in seen:
            seen.add(word.casefold())
            new.append(word)
    return new


def passage_words(reply: str, prompt: str = "", limit: int = MAX_PASSAGE_WORDS) -> dict[str, int]:
    """How often each word stands in the first `limit` words of the passage that a reply is.

    Sentences that repeat an earlier one do not count, nor does a word beyond MAX_REPEATS.
    """
    counts: dict[str, int] = {}
    forms: dict[str, str] = {}
    sentences: set[str] = set()
    left = limit
    for piece in _PIECE.findall(_answer(reply, prompt)):
        words = _words(_without_head(piece))
        key = " ".join(words).casefold()
        if not words or key in sentences | _NOTHING or _REFUSAL.match(piece):
            continue
        sentences.add(key)
        for word in words[:left]:
            form = forms.setdefault(word.casefold(), word)
            counts[form] = min(MAX_REPEATS, counts.get(form, 0) + 1)
        left -= len(words[:left])
    return counts


def _answer(reply: str, prompt: str) -> str:
    """The reply without thinking aloud, marks, copies of the prompt, and invented turns."""
    text = _THINKING.sub(" ", reply[:_LONGEST_REPLY])
    text = _without_echo(_SPECIAL.sub("\n", text), prompt)
    for turn in _TURN.finditer(text):
        if _WORD.search(text, 0, turn.start()):
            return _TURN.sub("", text[: turn.start()])
    return _TURN.sub("", text)


def _without_echo(text: str, prompt: str) -> str:
    """The text without the sentences that stand in the prompt word for word."""
    given = f" {_normal(prompt)} "
    if not given.strip():
        return text
    return "".join(piece for piece in _PIECE.findall(text) if not _is_echo(piece, given))


def _is_echo(piece: str, given: str) -> bool:
    normal = _normal(piece)
    return normal.count(" ") + 1 >= _ECHO_WORDS and f" {normal} " in given


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text)).casefold()


def _phrases(answer: str) -> Iterator[list[str]]:
    """The items of an answer as their words; prose as single words."""
    texts = _json_texts(answer)
    lines = answer.splitlines() if texts is None else texts
    for line in lines:
        for part in _NUMBER.split(_BULLET.sub("", line)):
            yield from _items(_without_head(part))


def _items(part: str) -> Iterator[list[str]]:
    if _REFUSAL.match(part):
        return
    for item in _ITEM_END.split(part):
        words = _words(item)
        if " ".join(words).casefold() in _NOTHING or item.strip().casefold() in _NOTHING:
            continue
        if all(word.casefold() in _HEADS for word in words):
            continue
        telling = [word for word in words if _is_telling(word)]
        if len(words) > _LONGEST_PHRASE:
            yield from ([word] for word in telling)
        elif telling:
            yield _trimmed(words)


def _trimmed(words: list[str]) -> list[str]:
    """A phrase without function words at its ends; one word of it at least is none."""
    start, end = 0, len(words)
    while words[start].casefold() in _FUNCTION_WORDS:
        start += 1
    while words[end - 1].casefold() in _FUNCTION_WORDS:
        end -= 1
    return words[start:end]


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if len(word) <= _LONGEST_WORD]


def _without_head(part: str) -> str:
    """A line without what announces a list: `Keywords:`, `Sure! Here are the keywords:`."""
    head = _HEAD.match(part.lstrip(" *_#"))
    if head is None:
        return part
    words = {word.casefold() for word in _words(head[1])}
    return part.lstrip(" *_#")[head.end() :] if words & _HEADS else part


def _json_texts(answer: str) -> list[str] | None:
    """The texts of an answer that is JSON, also one that was cut off; None for other answers."""
    start = answer.lstrip()
    label = _HEAD.match(start)
    if label is not None and _words(label[1]):
        start = start[label.end() :].lstrip()
    if not start.startswith(("[", "{")):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return _QUOTED.findall(start)[:_MOST_JSON] or None
    return list(_texts_in(value))[:_MOST_JSON]


def _texts_in(value: object) -> Iterator[str]:
    """All texts in a JSON value but the names of its members, without recursion."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            waiting += reversed(one.values())
