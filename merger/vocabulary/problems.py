"""Checks that the tokenizer of a folder and the rows of its weights agree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patientdx.errors import MergeError

from .reading import read_vocabulary
from .special_tokens import GENERATION_CONFIG, special_ids
from .token_files import read_json


def vocabulary_problems(folder: Path, config: Mapping[str, Any], rows: int) -> list[str]:
    """What is wrong with the tokenizer of a folder beside weights of so many vocabulary rows.

    `config` is the config.json; `rows` is 0 for a model without vocabulary rows. Each problem is
    the beginning of a sentence. Empty if nothing is wrong.
    """
    try:
        vocabulary = read_vocabulary(folder, config)
        generation = read_json(folder / GENERATION_CONFIG)
    except MergeError as error:
        return [error.message]
    if not rows:
        return []
    problems = []
    beyond = sorted(number for number in vocabulary.tokens or {} if number >= rows)
    if beyond and vocabulary.tokens is not None:
        problems.append(
            f"the tokenizer has {len(beyond):,} tokens beyond the {rows:,} rows of the "
            f"embeddings, the first is `{vocabulary.tokens[beyond[0]]}`"
        )
    for name, content in (("config.json", config), (GENERATION_CONFIG, generation)):
        for key, numbers in special_ids(content).items():
            problems += [
                f"{key} of {name} is {number}, and the embeddings have {rows:,} rows"
                for number in numbers
                if number >= rows
            ]
    return problems
