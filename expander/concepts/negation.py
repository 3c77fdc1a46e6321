"""Negation: which words of a note are negated ("no fever", "denies pain", "rash was absent").

After NegEx (Chapman et al. 2001, doi:10.1006/jbin.2001.1029): some phrases open a negated scope
before or after themselves, others only look like negations, others end a scope. NegEx limits a
scope to five words; here it extends to the end of the sentence or to the next finite verb, because
notes negate whole lists ("There was no X, Y or Z"). The phrase lists are short and English.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from .words import Word

_Kind = Literal["before", "after", "apparent", "end"]

_BEFORE = """
no; not; never; without; denies; denied; denying; deny; lacks; lacked; lacking; nor; neither;
absence of; lack of; free of; free from; negative for; was negative for; were negative for;
is negative for; no evidence of; no sign of; no signs of; no history of; without evidence of;
without any; without signs of; no symptoms of; rules out; ruled out; rule out; excludes; excluded;
failed to reveal; fails to reveal; did not; does not; do not; didn t; doesn t; don t; was not;
were not; is not; wasn t; weren t; isn t; cannot; did not show; did not reveal; did not have;
does not have; did not report; not demonstrate; unremarkable for
"""
_AFTER = """
was absent; were absent; is absent; are absent; was negative; were negative; is negative;
was not present; were not present; not present; was ruled out; were ruled out; been ruled out;
was excluded; were excluded; not seen; was not seen; were not seen; not found; was not found;
were not found; not observed; was not observed; were not observed; not detected; was not detected;
were not detected; was denied; were denied; unlikely; was unlikely; were unlikely
"""
_APPARENT = """
no increase; no change; no significant change; no interval change; no further; no longer;
not only; not necessarily; not certain if; not certain whether; without difficulty;
without further; not rule out; not ruled out; not been ruled out; not be ruled out;
cannot be ruled out; cannot be excluded; cannot rule out; cannot exclude; could not be excluded;
could not be ruled out; gram negative; not responding; not respond; did not respond;
did not improve; not improve; no improvement; no response; not resolve; did not resolve;
no relief; not relieved; was not relieved; negative pressure; no fewer than; no less than
"""
_END = """
was present; were present; is present; are present;
but; however; although; though; except; except for; apart from; aside from; nevertheless; yet;
still; besides; other than; which; who; because; due to; secondary to; caused by; associated with;
revealed; reveals; showed; shows; shown; demonstrated; demonstrates; presented; presents;
developed; develops; complained; complains; reported; reports; had; has; was; were; is; are;
experienced; suffered; underwent; received; became; found; noted; disclosed; indicated; suggested;
admitted; diagnosed; confirmed; exhibited; showing; revealing; presenting
"""


def _load_phrases() -> dict[tuple[str, ...], _Kind]:
    kinds: tuple[tuple[_Kind, str], ...] = (
        ("end", _END),
        ("before", _BEFORE),
        ("after", _AFTER),
        ("apparent", _APPARENT),
    )
    return {tuple(phrase.split()): kind for kind, phrases in kinds for phrase in phrases.split(";")}


_PHRASES = _load_phrases()
_MAX_PHRASE = max(map(len, _PHRASES))
_MAX_BACKWARD = 12  # words that a negation after its finding may reach back


def find_negated(words: Sequence[Word]) -> list[bool]:
    """For each word of a text, whether it is negated."""
    negated: list[bool] = []
    for _, sentence in groupby(words, key=lambda word: word.sentence):
        negated += _negated_in_sentence([word.composed.lower() for word in sentence])
    return negated


def _negated_in_sentence(words: list[str]) -> list[bool]:
    negated = [False] * len(words)
    is_open, scope_start, i = False, 0, 0
    while i < len(words):
        length, kind = _phrase_at(words, i)
        if kind == "end":
            # In "denies that he had fever" the verb belongs to the negated clause.
            is_open = is_open and "that" in words[scope_start:i] and length == 1
            scope_start = i + length
        elif kind == "before":
            is_open = True
        elif kind == "after":
            for j in range(max(scope_start, i - _MAX_BACKWARD), i):
                negated[j] = True
        elif kind is None:
            negated[i] = is_open
        i += length
    return negated


def _phrase_at(words: list[str], start: int) -> tuple[int, _Kind | None]:
    """Length and kind of the longest phrase that begins at a word; (1, None) without one."""
    for length in range(min(_MAX_PHRASE, len(words) - start), 0, -1):
        kind = _PHRASES.get(tuple(words[start : start + length]))
        if kind is not None:
            return length, kind
    return 1, None
