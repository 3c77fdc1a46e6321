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

    `count` tells the tokens of a text as the model will see it. Of the note, or of each of its
    sections that is longer than its share, as many words are kept as fit, one half from its
    beginning, one from its end. Raises ModelError where not even the question fits.
    """
    whole = as_prompt(prompt)
    if count(whole.text) <= room:
        return whole.text, False
    parts = [_PIECE.findall(part) for part in whole.sections or (whole.note,)]
    sizes = [len(part) for part in parts]

    def shortened(kept: int) -> str:
        shares = _shares(sizes, kept)
        left = "".join(_ends(part, share) for part, share in zip(parts, shares, strict=True))
        return f"{whole.before}{left}{whole.after}"

    if count(shortened(0)) > room:
        raise ModelError(
            f"the question alone does not fit the model's context: {room:,} tokens are left for it",
            hint="give the model more context, or ask for fewer new tokens",
        )
    fits, too_many = 0, sum(sizes)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(shortened(middle)) <= room:
            fits = middle
        else:
            too_many = middle
    return shortened(fits), True


def _shares(sizes: list[int], kept: int) -> list[int]:
    """`kept` words dealt to sections: what short ones leave over goes to longer ones."""
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for left, place in zip(range(len(order), 0, -1), order, strict=True):
        shares[place] = min(sizes[place], kept // left)
        kept -= shares[place]
    return shares


def _ends(pieces: list[str], kept: int) -> str:
    """The beginning and the end of a section, together `kept` words."""
    if kept >= len(pieces):
        return "".join(pieces)
    head, tail = pieces[: (kept + 1) // 2], pieces[len(pieces) - kept // 2 :]
    return f"{''.join(head)}{GAP}{''.join(tail)}"


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
