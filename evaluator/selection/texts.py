"""Choosing merges by texts: how well a model predicts them, token by token."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from patientdx.errors import InputError, ModelError
from patientdx.formats import open_lines
from patientdx.protocols import Scorer
from patientdx.storage.text_files import Source, source_name

from .instances import Floats, Indices, Instances, InstanceScorer


@dataclass(frozen=True, repr=False)
class Text:
    """A text and the number of its first line. Its repr never shows the text."""

    text: str
    line: int


def read_texts(path: Source) -> list[Text]:
    """The distinct texts of a file.

    A text is a paragraph, which ends at a blank line; in a file without blank lines between texts
    every line is a text. Raises InputError for a file without a text.
    """
    lines = [(number, line.rstrip("\r\n")) for number, line in open_lines(path)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    has_blank_lines = any(not line.strip() for _, line in lines)
    texts: list[Text] = []
    in_paragraph = False
    for number, line in lines:
        if not line.strip():
            in_paragraph = False
        elif in_paragraph and has_blank_lines:
            texts[-1] = Text(f"{texts[-1].text}\n{line}", texts[-1].line)
        else:
            texts.append(Text(line, number))
            in_paragraph = True
    if not texts:
        raise InputError(f"{source_name(path)}: there is no text in this file")
    distinct: dict[str, Text] = {}
    for text in texts:
        distinct.setdefault(text.text, text)
    return list(distinct.values())


def text_instances(texts: Sequence[Text], sizes: Sequence[int] | None = None) -> Instances:
    """One instance per text, whose key is a digest; `sizes` are numbers of tokens."""
    keys = [blake2b(text.text.encode(), digest_size=24).hexdigest() for text in texts]
    return Instances.build(keys, keys=keys, sizes=sizes, unit="texts")


def token_counts(texts: Sequence[Text], count: Callable[[str], int], path: Source) -> list[int]:
    """Number of tokens of each text. Raises InputError for one longer than the model's context."""
    counts = []
    for text in texts:
        try:
            counts.append(count(text.text))
        except ModelError as error:
            raise InputError.at(
                source_name(path), text.line, f"the text is too long: {error.message}",
                hint="break it up by blank lines",
            ) from error  # fmt: skip
    return counts


def text_scorer(model: Scorer, texts: Sequence[Text]) -> InstanceScorer:
    """A scorer of texts: the mean negative log-probability per token of each text."""

    def score(indices: Indices) -> Floats:
        rows = model.logprobs([("", texts[index].text) for index in indices.tolist()])
        return np.array([-math.fsum(row) / len(row) for row in rows])

    return score
