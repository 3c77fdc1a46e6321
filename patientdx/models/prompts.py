"""Prompts that fit the context: a long note loses its middle, the question nothing."""

import re
from collections.abc import Callable

from patientdx.errors import ModelError
from patientdx.protocols import Prompt

Encode = Callable[[str], list[int]]
"""The tokens of a text."""

GAP = " … "
"""Replaces the middle of a shortened note."""

# A word with the space before it, at most 16 characters: text without spaces is cut too.
_PIECE = re.compile(r"\s*\S{1,16}|\s+\Z")


def as_prompt(prompt: str | Prompt) -> Prompt:
    """A prompt; a plain string may be shortened anywhere."""
    return prompt if isinstance(prompt, Prompt) else Prompt(note=prompt)


def fit_prompt(
    prompt: str | Prompt, most_tokens: int, count: Callable[[str], int]
) -> tuple[str, bool]:
    """The text of a prompt in at most `most_tokens`, and whether its note was shortened.

    `count` returns the number of tokens of a text as the model sees it. The note, or each section
    longer than its share, keeps as many words as fit, half of them from its beginning and half
    from its end. Raises ModelError where the question alone does not fit.
    """
    source = as_prompt(prompt)
    if count(source.text) <= most_tokens:
        return source.text, False
    sections = [_PIECE.findall(section) for section in source.sections or (source.note,)]
    sizes = [len(pieces) for pieces in sections]

    def shorten(words: int) -> str:
        shares = _share_words(sizes, words)
        note = "".join(_keep_ends(pieces, n) for pieces, n in zip(sections, shares, strict=True))
        return f"{source.before}{note}{source.after}"

    if count(shorten(0)) > most_tokens:
        error = ModelError(
            "the question alone does not fit the model's context: "
            f"{most_tokens:,} tokens are left for it",
            hint="give the model more context, or generate fewer new tokens",
        )
        error.concerns_prompt = True
        raise error
    fits, too_many = 0, sum(sizes)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(shorten(middle)) <= most_tokens:
            fits = middle
        else:
            too_many = middle
    return shorten(fits), True


def _share_words(sizes: list[int], words: int) -> list[int]:
    """`words` divided among sections: what short sections leave over goes to longer ones."""
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda number: sizes[number])
    for remaining, number in zip(range(len(order), 0, -1), order, strict=True):
        shares[number] = min(sizes[number], words // remaining)
        words -= shares[number]
    return shares


def _keep_ends(pieces: list[str], words: int) -> str:
    """The beginning and the end of a section, `words` words together."""
    if words >= len(pieces):
        return "".join(pieces)
    head, tail = pieces[: (words + 1) // 2], pieces[len(pieces) - words // 2 :]
    return f"{''.join(head)}{GAP}{''.join(tail)}"


def encode_pair(
    prompt: str, continuation: str, encode: Encode, encode_plain: Encode
) -> tuple[list[int], list[int]]:
    """The tokens of a prompt and those of its continuation.

    The two are tokenised together, like one text. Where a token would straddle the border the
    continuation is tokenised on its own, so that pairs of one prompt share the prompt's tokens.
    `encode_plain` adds no start token.
    """
    prefix, combined = encode(prompt), encode(prompt + continuation)
    if combined[: len(prefix)] == prefix:
        return prefix, combined[len(prefix) :]
    return prefix, encode_plain(continuation)


def encode_text(text: str, encode: Encode, start_token: int) -> tuple[list[int], list[int]]:
    """The start token, and the tokens of a text that follows it."""
    tokens = encode(text)
    return [start_token], tokens[1:] if tokens[:1] == [start_token] else tokens
