"""The tokens that one file of a tokenizer names by id, and how the files of a folder combine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patientdx.errors import MergeError

HIGHEST_ID = 1 << 28
"""Ids from here on are taken for damage: no model has as many rows."""

TOKENIZER_JSON = "tokenizer.json"

# Names that vocabularies give to ids in reserve, which other files of the tokenizer may name anew.
_RESERVED = re.compile(r"unused|reserved|placeholder|(?:control|special|extra)_?\d", re.IGNORECASE)


@dataclass(frozen=True)
class TokenTable:
    """The tokens of one file by id.

    `rules` is a digest of what turns text into these tokens; files of different kinds cannot be
    compared by it. `complete` is False if the tokenizer has tokens that no file names.
    """

    file: str
    tokens: Mapping[int, str]
    rules: str = ""
    complete: bool = True


def index_tokens(path: Path, pairs: Iterable[tuple[object, object]]) -> dict[int, str]:
    """Tokens by id, of pairs (id, token). Raises MergeError for bad ids and ids of two tokens."""
    tokens: dict[int, str] = {}
    for number, token in pairs:
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(token, str):
            raise damaged(path, "a token in it has no name or no number")
        if not 0 <= number < HIGHEST_ID:
            raise damaged(path, f"{str(number)[:20]} is not the id of a token")
        if tokens.setdefault(number, token) != token:
            raise damaged(path, f"id {number} stands for two tokens")
    return tokens


def damaged(path: Path, problem: str) -> MergeError:
    """The error for a tokenizer file that cannot be used."""
    return MergeError(f"{path}: {problem}", hint="fetch the tokenizer of this model again")


def combine_tables(
    folder: Path, tables: Sequence[TokenTable], added: Sequence[TokenTable]
) -> dict[int, str]:
    """The tokens of a folder by id; earlier `tables` come first, `added` tokens after all of them.

    Raises MergeError if two files name different tokens for one id, except for names that only
    reserve an id.
    """
    combined: dict[int, str] = {}
    source: dict[int, str] = {}
    for table in tables:
        for number, token in table.tokens.items():
            current = combined.setdefault(number, token)
            source.setdefault(number, table.file)
            if current != token and not _RESERVED.search(token):
                raise _contradiction(folder, number, (source[number], current), (table.file, token))
    # transformers gives ids of its own to tokens that tokenizer.json has under another name.
    renames = all(table.file != TOKENIZER_JSON for table in tables)
    for table in added:
        for number, token in table.tokens.items():
            current = combined.get(number, token)
            reserved = renames and _RESERVED.search(current)
            if current != token and not reserved:
                raise _contradiction(folder, number, (source[number], current), (table.file, token))
            combined[number], source[number] = token, table.file
    return combined


def _contradiction(
    folder: Path, number: int, first: tuple[str, str], second: tuple[str, str]
) -> MergeError:
    return MergeError(
        f"{folder}: token {number} is `{first[1]}` in {first[0]} and `{second[1]}` in {second[0]}",
        hint="remove the file that is out of date, or fetch the tokenizer of this model again",
    )
