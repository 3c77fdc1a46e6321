"""Parsing a reply as the words of a passage."""

from patientdx.characters import fold

from .answer import (
    EMPTY_ANSWERS,
    extract_answer,
    is_refusal,
    remove_heading,
    split_sentences,
    split_words,
)

MAX_PASSAGE_WORDS = 400
MAX_REPEATS = 3
"""The largest count of a word: a model that loops does not emphasise."""


def count_passage_words(
    reply: str, prompt: str = "", limit: int = MAX_PASSAGE_WORDS
) -> dict[str, int]:
    """The number of times that each word occurs in the first `limit` words of a passage.

    Repeated sentences count once, and a word counts MAX_REPEATS times at most.
    """
    counts: dict[str, int] = {}
    first_forms: dict[str, str] = {}
    sentences: set[str] = set()
    remaining = limit
    for sentence in split_sentences(extract_answer(reply, prompt)):
        words = split_words(remove_heading(sentence))
        key = fold(" ".join(words))
        if not words or key in sentences | EMPTY_ANSWERS or is_refusal(sentence):
            continue
        sentences.add(key)
        for word in words[:remaining]:
            form = first_forms.setdefault(fold(word), word)
            counts[form] = min(MAX_REPEATS, counts.get(form, 0) + 1)
        remaining -= len(words[:remaining])
    return counts
