"""The strategy `query2doc`: the model writes a passage, and its words join the query.

Wang, Yang & Wei 2023, "Query2doc: Query Expansion with Large Language Models" (EMNLP). For BM25
the paper repeats the query 5 times before the passage; BM25 scales with its query weights, so
here each word of the passage counts 1/5 instead. The wording is the paper's, without its four
examples out of MS MARCO, which show no patients.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expander.prompts import read_prompt
from expander.query_terms import with_weights
from patientdx.errors import InputError
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

from .prompted import PromptedExpander, asking
from .reply_parser import passage_words

_GENERATION = GenerationSettings(max_new_tokens=128)


@dataclass(frozen=True)
class Query2DocSettings:
    """How many times a word of the query counts what a word of the passage counts."""

    original_weight: float = 5.0
    generation: GenerationSettings = _GENERATION

    def __post_init__(self) -> None:
        check_original_weight(self.original_weight)


class Query2Doc(PromptedExpander):
    """Adds the words of a passage that a language model writes about the query."""

    name = "query2doc"
    needs = ("generator",)
    Settings = Query2DocSettings

    def __init__(self, settings: Query2DocSettings | None = None, *, generator: Generator) -> None:
        self.settings = settings or Query2DocSettings()
        super().__init__(generator, self.settings.generation)
        self._wording = read_prompt("query2doc")

    def prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The paper's prompt about each query."""
        return [asking(self._wording, query.text) for query in queries]

    def read(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with the passage's words as `weights`."""
        return with_passage(query, passage_words(reply, prompt), self.settings.original_weight)


def with_passage(query: Query, words: dict[str, int], original_weight: float) -> Query:
    """The query with words that count `1 / original_weight` each time they stand in a passage."""
    return with_weights(query, {word: count / original_weight for word, count in words.items()})


def check_original_weight(weight: float) -> None:
    """Raises InputError unless a weight is a number above zero."""
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"the weight of the original query must be above 0, not {weight}")
