"""The tokens of a vocabulary as a GGUF file lists them: text, kind and score by id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from patientdx.errors import MergeError

from .container import Metadata, Value

_NO_SCORE = -10_000.0  # of tokens that no merge makes


class TokenKind(IntEnum):
    """llama.cpp's kinds of tokens, which are SentencePiece's kinds of pieces."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class AddedToken:
    """A token that is looked for before the text is cut into others."""

    id: int
    text: str
    special: bool


@dataclass
class TokenList:
    """Tokens by id. Rows of the embeddings without a token are listed as unused."""

    texts: dict[int, str]
    kinds: dict[int, TokenKind]
    scores: Mapping[int, float] = field(default_factory=dict)

    def add(self, token: AddedToken) -> None:
        """Adds a token that is matched in a text as a whole, or marks it as such."""
        self.texts[token.id] = token.text
        self.kinds[token.id] = TokenKind.CONTROL if token.special else TokenKind.USER_DEFINED

    def ids(self) -> dict[str, int]:
        """Ids by text. Raises MergeError for a text that stands twice."""
        ids = {text: number for number, text in self.texts.items()}
        if len(ids) < len(self.texts):
            twice = next(text for number, text in self.texts.items() if ids[text] != number)
            raise MergeError(
                f"the tokenizer has two ids for `{twice}`, which a GGUF file cannot hold",
                hint="merge without --gguf",
            )
        return ids

    def describe(self, rows: int) -> Metadata:
        """The lists of a GGUF file for so many rows. Raises MergeError for a token without one."""
        highest = max(self.texts, default=-1)
        if highest >= rows:
            raise MergeError(
                f"the tokenizer has the id {highest:,} and the merge {rows:,} rows of embeddings: "
                "it cannot be written as GGUF",
                hint="merge without --gguf, or with a tokenizer of that size",
            )
        texts, kinds = dict(self.texts), dict(self.kinds)
        taken = set(self.ids())
        for number in range(rows):
            if number not in texts:
                texts[number] = _unused_name(number, taken)
                kinds[number] = TokenKind.UNUSED
        order = range(rows)
        lists: dict[str, Value] = {
            "tokenizer.ggml.tokens": [texts[i] for i in order],
            "tokenizer.ggml.token_type": np.array([kinds[i] for i in order], np.int32),
        }
        if self.scores:
            lists["tokenizer.ggml.scores"] = np.array(
                [self.scores.get(i, _NO_SCORE) for i in order], np.float32
            )
        return lists


def _unused_name(number: int, taken: set[str]) -> str:
    """A text for a row without a token, as llama.cpp's converter writes it."""
    name = f"[PAD{number}]"
    while name in taken:
        name = f"[{name}]"
    return name
