"""Texts as what merges are chosen by: how well a model foresees them, token by token."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from patientdx.errors import InputError, ModelError
from patientdx.formats import open_lines
from patientdx.protocols import Scorer as Reader
from patientdx.storage.text_files import Source, shown

from .instances import Floats, Instances, Places, Scorer


@dataclass(frozen=True, repr=False)
class Text:
    """A text and the line on which it begins. It never prints itself."""

    text: str
    line: int


def read_texts(path: Source) -> list[Text]:
    """The texts of a file, equal ones once.

    A text is a paragraph, which ends before a blank line; in a file without blank lines between
    texts every line is one. Raises InputError for a file without a text.
    """
    lines = [(number, line.rstrip("\r\n")) for number, line in open_lines(path)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    blank = any(not line.strip() for _, line in lines)
    found: list[Text] = []
    goes_on = False
    for number, line in lines:
        if not line.strip():
            goes_on = False
        elif goes_on and blank:
            found[-1] = Text(f"{found[-1].text}\n{line}", found[-1].line)
        else:
            found.append(Text(line, number))
            goes_on = True
    if not found:
        raise InputError(f"{shown(path)}: there is no text in this file")
    first: dict[str, Text] = {}
    for one in found:
        first.setdefault(one.text, one)
    return list(first.values())


def text_instances(texts: Sequence[Text], sizes: Sequence[int] | None = None) -> Instances:
    """An instance a text, known by a digest of it; `sizes` are its tokens."""
    keys = [blake2b(one.text.encode(), digest_size=24).hexdigest() for one in texts]
    return Instances.of(keys, keys=keys, sizes=sizes, unit="texts")


def token_counts(texts: Sequence[Text], count: Callable[[str], int], path: Source) -> list[int]:
    """Tokens of each text. Raises InputError for one that the model cannot read as a whole."""
    found = []
    for one in texts:
        try:
            found.append(count(one.text))
        except ModelError as error:
            raise InputError.at(
                shown(path), one.line, f"the text is too long: {error.message}",
                hint="break it up by blank lines",
            ) from error  # fmt: skip
    return found


def text_scorer(model: Reader, texts: Sequence[Text]) -> Scorer:
    """The mean negative log-probability a token of each text."""

    def score(places: Places) -> Floats:
        rows = model.logprobs([("", texts[place].text) for place in places.tolist()])
        return np.array([-math.fsum(row) / len(row) for row in rows])

    return score
