"""The strategy `query2doc`: the model writes a passage, whose words are added to the query.

Wang, Yang & Wei 2023, "Query2doc: Query Expansion with Large Language Models" (EMNLP). For BM25
the paper repeats the query 5 times before the passage. BM25 scales with its query weights, so
here each word of the passage weighs 1/5 instead. The prompt is the paper's, without its four
examples from MS MARCO, which are not about patients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expander.prompts import read_prompt
from expander.query_terms import add_words
from expander.reply_parsing.passage import count_passage_words
from patientdx.errors import InputError
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

from .prompted import PromptedExpander, fill_prompt

_GENERATION = GenerationSettings(max_new_tokens=128)


@dataclass(frozen=True)
class Query2DocSettings:
    """The weight of a word of the query relative to a word of the passage."""

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
        self._template = read_prompt("query2doc")

    def build_prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The paper's prompt about each query."""
        return [fill_prompt(self._template, query.text) for query in queries]

    def apply_reply(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with the passage's words as `weights`."""
        counts = count_passage_words(reply, prompt)
        return add_passage(query, counts, self.settings.original_weight)


def add_passage(query: Query, word_counts: Mapping[str, int], original_weight: float) -> Query:
    """The query with the words of a passage; each occurrence weighs `1 / original_weight`."""
    return add_words(query, {word: count / original_weight for word, count in word_counts.items()})


def check_original_weight(weight: float) -> None:
    """Raises InputError unless a weight is a finite number above zero."""
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"the weight of the original query must be above 0, not {weight}")
