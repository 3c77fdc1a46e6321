"""Prompts that fit: where the context is short the note loses its middle, the question nothing."""

import re
from collections.abc import Callable

from patientdx.errors import ModelError
from patientdx.protocols import Prompt

GAP = " … "
"""What stands where the middle of a note was."""

# A word with the space before it; what has no spaces is cut too.
_PIECE = re.compile(r"\s*\S{1,16}|\s+\Z")


def as_prompt(prompt: str | Prompt) -> Prompt:
    """A prompt; of a plain string every part may be cut."""
    return prompt if isinstance(prompt, Prompt) else Prompt(note=prompt)


def fitted(prompt: str | Prompt, room: int, count: Callable[[str], int]) -> tuple[str, bool]:
    """The prompt's text in at most `room` tokens, and whether its note was cut for that.

    `count` tells the tokens of a text as the model will see it. Of the note as many words are
    kept as fit, one half from its beginning, one from its end. Raises ModelError where not even
    the question fits.
    """
    whole = as_prompt(prompt)
    if count(whole.text) <= room:
        return whole.text, False
    pieces = _PIECE.findall(whole.note)

    def shortened(kept: int) -> str:
        head, tail = pieces[: (kept + 1) // 2], pieces[len(pieces) - kept // 2 :]
        return f"{whole.before}{''.join(head)}{GAP}{''.join(tail)}{whole.after}"

    if count(shortened(0)) > room:
        raise ModelError(
            f"the question alone does not fit the model's context: {room:,} tokens are left for it",
            hint="give the model more context, or ask for fewer new tokens",
        )
    fits, too_many = 0, len(pieces)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(shortened(middle)) <= room:
            fits = middle
        else:
            too_many = middle
    return shortened(fits), True


def split(
    prompt: str,
    continuation: str,
    tokens: Callable[[str], list[int]],
    plain: Callable[[str], list[int]],
) -> tuple[list[int], list[int]]:
    """The tokens of a prompt and those of its continuation.

    The two are tokenised together, as a text is; where a token would straddle the border the
    continuation is tokenised alone, so that pairs of one prompt share its tokens. `plain` adds
    no token for a beginning.
    """
    before, whole = tokens(prompt), tokens(prompt + continuation)
    if whole[: len(before)] == before:
        return before, whole[len(before) :]
    return before, plain(continuation)


def beginning(
    text: str, tokens: Callable[[str], list[int]], first: int
) -> tuple[list[int], list[int]]:
    """The token that a text follows, and the tokens of the text."""
    found = tokens(text)
    return [first], found[1:] if found[:1] == [first] else found
