"""Scopes of cue phrases: which words of a sentence a phrase such as "no" or "history of" reaches.

After ConText (Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002), which extends NegEx (Chapman et
al. 2001, doi:10.1006/jbin.2001.1029): some phrases open a scope behind themselves, some reach back,
some only look like cues, and others end a scope. The original limits a negation to five words; here
it extends to the end of the sentence or to the next finite verb, because notes negate whole lists
("There was no X, Y or Z").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from .words import Word

CueKind = Literal["before", "next", "after", "apparent", "end"]
"""What a phrase does: open a scope to the end of the sentence, to the next words only, reach back,
look like a cue without being one, or end a scope."""

_MARKING = ("before", "next", "after")
_MAX_BACKWARD = 12  # words that a phrase after its finding may reach back
_MAX_NEXT = 3  # words that a phrase such as "previous" reaches


def split_phrases(text: str) -> list[str]:
    """The phrases of a list with semicolons between them."""
    return [" ".join(phrase.split()) for phrase in text.split(";") if phrase.strip()]


@dataclass(frozen=True)
class Cues:
    """The cue phrases of one kind of assertion, by their words in lower case.

    `longest` has the number of words of the longest phrase by its first word. `triggers` has the
    longest word of every phrase that marks others: without one nothing is marked. `answers` are
    words that negate what is before a colon ("Fever: no"), `labels` words whose colon opens a scope
    ("Mother: diabetes").
    """

    phrases: Mapping[tuple[str, ...], CueKind]
    longest: Mapping[str, int]
    triggers: frozenset[str]
    answers: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    @classmethod
    def from_phrases(
        cls,
        phrases: Mapping[CueKind, Iterable[str]],
        *,
        answers: Iterable[str] = (),
        labels: Iterable[str] = (),
    ) -> "Cues":
        """Cues of phrases as people write them; a phrase of two kinds is of the last one."""
        by_words = {tuple(p.split()): kind for kind, listed in phrases.items() for p in listed}
        longest: dict[str, int] = {}
        for words in by_words:
            longest[words[0]] = max(len(words), longest.get(words[0], 0))
        marking = (words for words, kind in by_words.items() if kind in _MARKING)
        triggers = frozenset(max(words, key=len) for words in marking) | frozenset(labels)
        return cls(by_words, longest, triggers, frozenset(answers), frozenset(labels))

    def at(self, words: Sequence[str], start: int) -> tuple[int, CueKind | None]:
        """Length and kind of the longest phrase that begins at a word; (1, None) without one."""
        for length in range(min(self.longest.get(words[start], 0), len(words) - start), 0, -1):
            kind = self.phrases.get(tuple(words[start : start + length]))
            if kind is not None:
                return length, kind
        return 1, None

    def may_mark(self, sentence: Sequence[Word], words: Iterable[str]) -> bool:
        """False for sentences without a trigger, an answer or a sign, which are most."""
        if not self.triggers.isdisjoint(words):
            return True
        return bool(self.answers) and any(word.sign or word.after_colon for word in sentence)


def mark_scopes(words: Sequence[Word], all_cues: Sequence[Cues]) -> list[list[bool]]:
    """For each of the cues, and each word of a text, whether a cue reaches the word.

    Sentences are independent.
    """
    marked: list[list[bool]] = [[] for _ in all_cues]
    for _, group in groupby(words, key=lambda word: word.sentence):
        sentence = list(group)
        texts = [word.composed.lower() for word in sentence]
        for marks, cues in zip(marked, all_cues, strict=True):
            marks.extend(
                _mark_sentence(sentence, texts, cues)
                if cues.may_mark(sentence, texts)
                else [False] * len(sentence)
            )
    return marked


def _mark_sentence(sentence: Sequence[Word], words: Sequence[str], cues: Cues) -> list[bool]:
    marked = [False] * len(words)
    open_until, scope_start, i = 0, 0, 0
    while i < len(words):
        if cues.answers and sentence[i].sign:
            open_until = len(words) if sentence[i].sign == "-" else 0
        if _is_answer(sentence[i], words[i], cues):
            _reach_back(marked, scope_start, i)
            open_until, scope_start, i = 0, i + 1, i + 1
            continue
        length, kind = cues.at(words, i)
        if kind == "end":
            # In "denies that he had fever" the verb belongs to the negated clause.
            stays = "that" in words[scope_start:i] and length == 1
            open_until, scope_start = open_until if stays else 0, i + length
        elif kind == "before" or _is_label(sentence, words, i, cues):
            open_until = len(words)
        elif kind == "next":
            open_until = max(open_until, i + length + _MAX_NEXT)
        elif kind == "after":
            _reach_back(marked, scope_start, i)
        elif kind is None:
            marked[i] = i < open_until
        i += length
    return marked


def _is_answer(word: Word, text: str, cues: Cues) -> bool:
    """Whether a word is all of an answer, as in "Fever: no"."""
    return word.after_colon and word.ends_line and text in cues.answers


def _is_label(sentence: Sequence[Word], words: Sequence[str], i: int, cues: Cues) -> bool:
    """Whether a word is a label with a colon behind it, as in "Mother: diabetes"."""
    follows = sentence[i + 1 : i + 2]
    return words[i] in cues.labels and bool(follows) and follows[0].after_colon


def _reach_back(marked: list[bool], scope_start: int, end: int) -> None:
    for i in range(max(scope_start, end - _MAX_BACKWARD), end):
        marked[i] = True
