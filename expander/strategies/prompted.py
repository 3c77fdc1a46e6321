"""Strategies that use a language model: one prompt per query, one reply, words to add."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from expander.cached_generator import CachedGenerator, ModelReply
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

NOTE_PLACEHOLDER = "{patient_data}"
"""Placeholder of the note in a prompt template."""


class PromptedExpander(ABC):
    """Base class of the strategies that use a language model.

    A subclass builds the prompts (`build_prompts`) and applies the replies (`apply_reply`).
    Queries without text are not sent to the model and stay unchanged.
    """

    name: str

    def __init__(self, generator: Generator, generation: GenerationSettings) -> None:
        self.generator = generator
        self.generation = generation

    @abstractmethod
    def build_prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The prompt of each query, in order."""

    @abstractmethod
    def apply_reply(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with what the reply adds; the query itself if it adds nothing."""

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, with `weights` added."""
        return [query for query, _ in self.expand_with_replies(queries)]

    def expand_with_replies(
        self, queries: Sequence[Query]
    ) -> list[tuple[Query, ModelReply | None]]:
        """The expanded queries with their replies; no reply for a query without text."""
        positions = [position for position, query in enumerate(queries) if query.text.strip()]
        prompts = self.build_prompts([queries[position] for position in positions])
        replies = self._generate_replies(prompts)
        expanded: list[tuple[Query, ModelReply | None]] = [(query, None) for query in queries]
        for position, prompt, reply in zip(positions, prompts, replies, strict=True):
            query = self.apply_reply(queries[position], prompt.text, reply.text)
            expanded[position] = (query, reply)
            if isinstance(self.generator, CachedGenerator) and query == queries[position]:
                self.generator.unexpanded.add(self.name, query.query_id, reply)
        return expanded

    def _generate_replies(self, prompts: Sequence[Prompt]) -> list[ModelReply]:
        if not prompts:
            return []
        if isinstance(self.generator, CachedGenerator):
            return self.generator.replies(prompts, self.generation)
        completions = self.generator.generate(prompts, self.generation)
        return [ModelReply(completion, "model") for completion in completions]


def fill_prompt(template: str, note: str, values: Mapping[str, str] | None = None) -> Prompt:
    """A prompt template with its placeholders filled: the note, and `values` by placeholder.

    The note stays a part of its own, so that it can be shortened where the context is short.
    Braces inside the note or a value are not placeholders.
    """
    before, _, after = template.partition(NOTE_PLACEHOLDER)
    return Prompt(_substitute(before, values or {}), note, _substitute(after, values or {}))


def _substitute(template: str, values: Mapping[str, str]) -> str:
    if not values:
        return template
    any_placeholder = re.compile("|".join(map(re.escape, values)))
    return any_placeholder.sub(lambda match: values[match.group()], template)
