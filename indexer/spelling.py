"""British words in their American spelling, so that texts of both kinds meet.

A list of spellings is text: pairs of a British word and its American spelling, separated by white
space. In `part- part-` the pair stands for the beginning of words, in `-part -part` for their end,
in `-part- -part-` for any place in them. A pair of equals is an exception, which stays as written.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from patientdx.capabilities import require_package

EXTRA = "languages"
SPELLINGS = ("none", "american")
Speller = Callable[[str], str]


def american_spellings() -> str:
    """The list of an index with American spellings: words of the package breame, and ours.

    Raises ExtraMissingError where breame is not installed.
    """
    require_package("breame", EXTRA)
    from breame.data.spelling_constants import BRITISH_ENGLISH_SPELLINGS

    text = files(__package__ or "indexer").joinpath("spelling_lists/american.txt")
    lines = text.read_text(encoding="utf-8").splitlines()
    ours = _pairs(" ".join(line for line in lines if not line.startswith("#")))
    pairs = {**BRITISH_ENGLISH_SPELLINGS, **ours}
    return " ".join(f"{british} {american}" for british, american in sorted(pairs.items()))


@cache
def speller(spellings: str) -> Speller:
    """The function that spells a lower-case word by a list. Raises ValueError for an odd one.

    A word of the list is spelled as there; in others the parts are replaced from left to right, of
    those that begin at a place the longest.
    """
    pairs = _pairs(spellings)
    if not pairs:
        return str
    parts = sorted((pair for pair in pairs.items() if "-" in pair[0]), key=_length, reverse=True)
    pattern = re.compile("|".join(f"({_pattern(part)})" for part, _ in parts) or "(?!)")
    american = [spelling.strip("-") for _, spelling in parts]
    places = [(part, part.startswith("-"), part.endswith("-")) for part, _ in parts]
    starts = tuple(part[:-1] for part, before, _ in places if not before)
    ends = tuple(part[1:] for part, _, after in places if not after)
    marks = _shared_letters([part.strip("-") for part, before, after in places if before and after])

    def spell(word: str) -> str:
        whole = pairs.get(word)
        if whole is not None:
            return whole
        # The pattern takes several times as long as stemming: most words do not come to it.
        if not word.startswith(starts) and not word.endswith(ends):
            for mark in marks:
                if mark in word:
                    break
            else:
                return word
        return pattern.sub(lambda match: american[(match.lastindex or 1) - 1], word)

    return spell


def _pairs(spellings: str) -> dict[str, str]:
    words = spellings.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _length(pair: tuple[str, str]) -> int:
    return len(pair[0].strip("-"))


def _pattern(part: str) -> str:
    start = "" if part.startswith("-") else r"\A"
    return start + re.escape(part.strip("-")) + ("" if part.endswith("-") else r"\Z")


def _shared_letters(parts: list[str]) -> list[str]:
    """A few runs of two letters or more, of which each part holds one."""
    chosen = []
    while parts:
        runs = {p[i:j] for p in parts for i in range(len(p)) for j in range(i + 2, len(p) + 1)}
        best = max(sorted(runs), key=lambda run: (sum(run in part for part in parts), len(run)))
        chosen.append(best)
        parts = [part for part in parts if best not in part]
    return chosen
